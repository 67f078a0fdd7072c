//! Statements, and the output they write to.

use std::rc::Rc;
use std::sync::Arc;

use super::super::error::{ErrorKind, Result, TemplateError};
use super::super::ir::{Expr, Stmt, Target, Template};
use super::super::source::restore_newlines;
use super::super::value::{Key, Value};
use super::Interp;
use super::loops::Namespace;
use super::macros::{Macro, Module};

/// Collects a template's output: text, or the one value that a template consists of.
pub(in super::super) struct Sink {
    native: bool,
    content: Content,
    /// Set after `extends`: what the child writes outside its blocks goes nowhere.
    pub(super) muted: bool,
}

enum Content {
    Nothing,
    One(Value),
    Text(String),
}

impl Sink {
    /// A sink that keeps a lone value as it is.
    pub(in super::super) fn native() -> Self {
        Self { native: true, content: Content::Nothing, muted: false }
    }

    /// A sink for text.
    pub(in super::super) fn text() -> Self {
        Self { native: false, content: Content::Nothing, muted: false }
    }

    fn push_text(&mut self, interp: &mut Interp<'_>, text: &str) -> Result<()> {
        if !self.muted && !text.is_empty() {
            self.buffer(interp)?.push_str(text);
        }
        Ok(())
    }

    fn push(&mut self, interp: &mut Interp<'_>, value: Value) -> Result<()> {
        value.defined()?;
        if self.muted {
            return Ok(());
        }
        if self.native && matches!(self.content, Content::Nothing) {
            self.content = Content::One(value);
            return Ok(());
        }
        let buffer = self.buffer(interp)?;
        interp.write_output(&value, buffer)
    }

    fn buffer(&mut self, interp: &mut Interp<'_>) -> Result<&mut String> {
        let mut text = String::new();
        match std::mem::replace(&mut self.content, Content::Nothing) {
            Content::Nothing => {}
            Content::One(value) => {
                interp.write_output(&value, &mut text)?;
            }
            Content::Text(earlier) => text = earlier,
        }
        self.content = Content::Text(text);
        match &mut self.content {
            Content::Text(text) => Ok(text),
            Content::Nothing | Content::One(_) => Err(TemplateError::failed("the output is text")),
        }
    }

    /// What was written by a template of this text.
    pub(in super::super) fn into_value(self, template: &str) -> Value {
        let mut text = match self.content {
            Content::Nothing => String::new(),
            Content::One(Value::Str(text)) => text.to_string(),
            Content::One(value) => return value,
            Content::Text(text) => text,
        };
        restore_newlines(template, &mut text);
        Value::str(text)
    }

    /// What was written to a sink for text.
    pub(in super::super) fn into_text(self) -> String {
        match self.content {
            Content::Text(text) => text,
            Content::Nothing | Content::One(_) => String::new(),
        }
    }
}

impl Interp<'_> {
    /// Runs statements.
    ///
    /// # Errors
    /// The first error of an expression in them.
    pub(super) fn exec(&mut self, body: &[Stmt], sink: &mut Sink) -> Result<()> {
        for stmt in body {
            self.exec_one(stmt, sink)?;
        }
        Ok(())
    }

    fn exec_one(&mut self, stmt: &Stmt, sink: &mut Sink) -> Result<()> {
        match stmt {
            Stmt::Text(text) => sink.push_text(self, text),
            Stmt::Emit(expr) => {
                let value = match self.eval(expr)? {
                    Value::Undefined(missing) if missing.silent => Value::str(""),
                    Value::Undefined(missing) => return Err(self.located(missing.error(), expr.span)),
                    value => value,
                };
                sink.push(self, value).map_err(|error| self.located(error, expr.span))
            }
            Stmt::For(for_loop) => self.exec_for(for_loop, sink),
            Stmt::If { test, then, otherwise } => {
                let value = self.value_of(test)?;
                let body = if self.truth(&value)? { then } else { otherwise };
                self.exec(body, sink)
            }
            Stmt::With { assignments, body } => self.exec_with(assignments, body, sink),
            Stmt::Set { target, value } => {
                let value = self.eval(value)?;
                self.assign(target, value)
            }
            Stmt::SetBlock { target, filter, body } => {
                let text = self.capture(body)?;
                let value = match filter {
                    Some(filter) => self.pipe(Value::str(text), filter)?,
                    None => Value::str(text),
                };
                self.assign(target, value)
            }
            Stmt::FilterBlock { filter, body } => {
                let text = self.capture(body)?;
                let value = self.pipe(Value::str(text), filter)?;
                sink.push(self, value)
            }
            Stmt::Macro(definition) => {
                let value = Value::object(Macro::new(self, definition.clone()));
                self.set_local(&definition.name, value);
                Ok(())
            }
            Stmt::CallBlock { call, caller } => self.exec_call_block(call, caller, sink),
            Stmt::Do(expr) => self.eval(expr).map(|_| ()),
            Stmt::Block(block) => self.exec_block(block, sink),
            Stmt::Extends(name) => self.exec_extends(name, sink),
            Stmt::Include { name, ignore_missing } => self.exec_include(name, *ignore_missing, sink),
            Stmt::Import { name, target } => {
                let module = self.import(name)?;
                self.set_local(target, Value::object(module));
                Ok(())
            }
            Stmt::FromImport { name, names } => self.exec_from_import(name, names),
        }
    }

    /// Runs statements and gives their text.
    pub(super) fn capture(&mut self, body: &[Stmt]) -> Result<String> {
        let mut sink = Sink::text();
        self.framed(|interp| interp.exec(body, &mut sink))?;
        Ok(sink.into_text())
    }

    fn exec_with(&mut self, assignments: &[(Target, Expr)], body: &[Stmt], sink: &mut Sink) -> Result<()> {
        let values = assignments.iter().map(|(_, value)| self.eval(value)).collect::<Result<Vec<_>>>()?;
        self.framed(|interp| {
            for ((target, _), value) in assignments.iter().zip(values) {
                interp.assign(target, value)?;
            }
            interp.exec(body, sink)
        })
    }

    /// Assigns to a name, an attribute of a namespace, or several names at once.
    pub(super) fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => {
                self.set_local(name, value);
                Ok(())
            }
            Target::Attribute { object, name, span } => {
                let owner = self.variable(object)?;
                if let Value::Object(owner) = &owner
                    && let Some(namespace) = owner.as_any().downcast_ref::<Namespace>()
                {
                    namespace.0.borrow_mut().insert(Key::Str(name.clone()), value);
                    return Ok(());
                }
                let error = TemplateError::failed(format!("`{object}` is {}, not a namespace", owner.kind_text()))
                    .hinted(format!("start with {{% set {object} = namespace() %}}"));
                Err(self.located(error, *span))
            }
            Target::Unpack(targets, span) => {
                let items = self.items(&value).map_err(|error| self.located(error, *span))?;
                if items.len() != targets.len() {
                    let message = format!("{} names stand for {} values", targets.len(), items.len());
                    return Err(self.located(TemplateError::failed(message), *span));
                }
                targets.iter().zip(items).try_for_each(|(target, item)| self.assign(target, item))
            }
        }
    }

    fn exec_call_block(&mut self, call: &Expr, caller: &Arc<super::super::ir::Macro>, sink: &mut Sink) -> Result<()> {
        let caller = Value::object(Macro::new(self, caller.clone()));
        let value = self.call_with_caller(call, caller)?;
        sink.push(self, value).map_err(|error| self.located(error, call.span))
    }

    fn exec_include(&mut self, name: &Expr, ignore_missing: bool, sink: &mut Sink) -> Result<()> {
        match self.load(name) {
            Ok(template) => {
                let mut frames = self.frames.clone();
                frames.push(Rc::default());
                self.nested("include", |interp| {
                    let chains = std::mem::take(&mut interp.chains);
                    let result = interp.elsewhere(frames, template.clone(), |interp| interp.run(&template, sink));
                    interp.chains = chains;
                    result
                })
            }
            Err(error) if ignore_missing && error.kind == ErrorKind::MissingTemplate => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first of the named templates that exists.
    pub(super) fn load(&mut self, name: &Expr) -> Result<Arc<Template>> {
        let value = self.value_of(name)?;
        let names = if value.is_list() { self.items(&value)? } else { vec![value] };
        let mut tried = Vec::new();
        for value in &names {
            let file = self.text(value)?;
            if let Some(text) = self.with_vars(|vars| self.engine.lookups().load(&file, vars)) {
                return self.engine.compile_file(&file, &text);
            }
            tried.push(file);
        }
        let message = format!("no template named {}", tried.join(", "));
        Err(self.located(TemplateError::new(ErrorKind::MissingTemplate, message), name.span))
    }

    fn import(&mut self, name: &Expr) -> Result<Module> {
        let template = self.load(name)?;
        let frame = Rc::default();
        self.captured.push(Rc::clone(&frame));
        self.nested("import", |interp| {
            let chains = std::mem::take(&mut interp.chains);
            let result = interp
                .elsewhere(vec![frame.clone()], template.clone(), |interp| interp.run(&template, &mut Sink::text()));
            interp.chains = chains;
            result
        })?;
        Ok(Module(frame))
    }

    fn exec_from_import(&mut self, name: &Expr, names: &[(Arc<str>, Arc<str>)]) -> Result<()> {
        let module = self.import(name)?;
        for (wanted, alias) in names {
            let Some(value) = module.get(wanted) else {
                let message = format!("the imported template defines no `{wanted}`");
                return Err(self.located(TemplateError::new(ErrorKind::Undefined, message), name.span));
            };
            self.set_local(alias, value);
        }
        Ok(())
    }
}
