//! Variables: found by name, templated when they are touched, each at most once at a time.

use std::rc::Rc;
use std::sync::Arc;

use super::super::cache::Mode;
use super::super::error::{ErrorKind, Result, TemplateError};
use super::super::globals;
use super::super::value::{Member, Scope, Source, Value};
use super::super::vars::{Var, Vars};
use super::{Interp, Pending, Sink};

impl Interp<'_> {
    /// A name in an expression: the template's own, then a variable, then a global function.
    ///
    /// # Errors
    /// When the variable's own text can not be templated.
    pub(in super::super) fn variable(&mut self, name: &Arc<str>) -> Result<Value> {
        if let Some(value) = self.local(name) {
            return Ok(value);
        }
        if let Some(value) = self.host_variable(name)? {
            return Ok(value);
        }
        Ok(globals::get(name).unwrap_or_else(|| Value::missing_variable(name)))
    }

    /// A variable of the host whose variables are in force, or nothing.
    ///
    /// # Errors
    /// When the variable's own text can not be templated.
    pub(in super::super) fn host_variable(&mut self, name: &Arc<str>) -> Result<Option<Value>> {
        if let Some(vars) = self.scope.clone() {
            return self.scope_variable(&vars, name);
        }
        if let Some(value) = self.seen.get(name) {
            return Ok(Some(value.clone()));
        }
        let Some(var) = self.vars.get(name) else { return Ok(None) };
        let value = self.value_of_var(var, name, None)?;
        self.seen.insert(name.clone(), value.clone());
        Ok(Some(value))
    }

    /// A variable of another scope, such as `hostvars['b1'].port`.
    pub(super) fn scope_variable(&mut self, vars: &Arc<dyn Vars>, name: &Arc<str>) -> Result<Option<Value>> {
        let Some(var) = vars.get(name) else { return Ok(None) };
        self.value_of_var(var, name, Some(vars.clone())).map(Some)
    }

    fn value_of_var(&mut self, var: Var, name: &str, scope: Scope) -> Result<Value> {
        match var {
            Var::Scope(vars) => Ok(Source::scope(vars)),
            Var::Value { value, trusted } => self.resolve(Source::member_of_root(&value, name, trusted, scope)),
        }
    }

    /// Templates a member where it needs that.
    pub(super) fn resolve(&mut self, member: Member) -> Result<Value> {
        match member {
            Member::Ready(value) => Ok(value),
            Member::Template { text, name, scope } => self.template_text(&text, name, scope),
            Member::Encrypted(name) => Err(TemplateError::failed(format!(
                "`{name}` is encrypted by ansible-vault, which kfleet can not decrypt yet"
            ))),
        }
    }

    /// Evaluates the text of the variable `name` in its scope.
    ///
    /// # Errors
    /// When it leads back to itself, or can not be rendered; the error carries the chain of variables.
    pub(super) fn template_text(&mut self, text: &Arc<str>, name: String, scope: Scope) -> Result<Value> {
        let address = scope.as_ref().map_or(0, |vars| Arc::as_ptr(vars).cast::<()>() as usize);
        let pending = Pending { scope: address, name };
        if let Some(first) = self.pending.iter().position(|earlier| *earlier == pending) {
            let mut chain: Vec<_> = self.pending[first..].iter().map(|earlier| earlier.name.as_str()).collect();
            chain.push(&pending.name);
            let message = format!("the variable `{}` leads back to itself: {}", pending.name, chain.join(" -> "));
            return Err(TemplateError::new(ErrorKind::Cycle, message).hinted("give one of them a plain value"));
        }
        let what = pending.name.clone();
        self.pending.push(pending);
        let result = self.nested(&format!("the variable `{what}`"), |interp| interp.in_scope(text, scope));
        self.pending.pop();
        result.or_else(|mut error| {
            // The place inside the variable's text means nothing in the text that was asked for.
            if let Some(place) = error.place.take()
                && error.hint.is_none()
                && error.chain.is_empty()
            {
                error.hint = Some(format!("`{what}` is \"{}\"", place.excerpt));
            }
            if error.kind != ErrorKind::Cycle {
                error.chain.insert(0, what);
            }
            // A variable made of something missing is itself missing, so that `default` and `defined` reach it.
            if error.kind == ErrorKind::Undefined { Ok(Value::missing_because(error)) } else { Err(error) }
        })
    }

    fn in_scope(&mut self, text: &Arc<str>, scope: Scope) -> Result<Value> {
        let template = self.engine.compile(text, None, Mode::Variable)?;
        let outer = std::mem::replace(&mut self.scope, scope);
        let chains = std::mem::take(&mut self.chains);
        let result = self.elsewhere(vec![Rc::default()], template.clone(), |interp| {
            let mut sink = Sink::native();
            interp.run(&template, &mut sink)?;
            Ok(sink.into_value(text))
        });
        self.chains = chains;
        self.scope = outer;
        result
    }
}

impl Interp<'_> {
    /// Runs another template with the variables in force and some names of its own, unseen by the one around it.
    ///
    /// # Errors
    /// The first error in it.
    pub(in super::super) fn run_apart(
        &mut self,
        template: &Arc<super::super::ir::Template>,
        names: &super::super::value::Map,
        sink: &mut Sink,
    ) -> Result<()> {
        let frame: Rc<super::Frame> = Rc::default();
        frame
            .borrow_mut()
            .extend(names.iter().filter_map(|(name, value)| Some((name.as_str()?.into(), value.clone()))));
        let chains = std::mem::take(&mut self.chains);
        let result = self.nested("template", |interp| {
            interp.elsewhere(vec![frame], template.clone(), |interp| interp.run(template, sink))
        });
        self.chains = chains;
        result
    }
}
