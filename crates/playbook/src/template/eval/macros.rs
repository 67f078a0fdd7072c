//! Macros, `caller()`, and imported templates.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use super::super::error::{Result, TemplateError, nearest};
use super::super::ir::{self, Expr, ExprKind, Template};
use super::super::value::{Key, Map, Object, Value};
use super::{Args, Frame, Interp, Sink};

/// A macro with the names it can see where it was defined.
pub(super) struct Macro {
    definition: Arc<ir::Macro>,
    frames: Vec<Rc<Frame>>,
    template: Arc<Template>,
}

impl Macro {
    pub(super) fn new(interp: &mut Interp<'_>, definition: Arc<ir::Macro>) -> Self {
        let frames = interp.frames.clone();
        interp.captured.extend(frames.last().cloned());
        Self { definition, frames, template: interp.template.clone() }
    }

    fn bind(&self, interp: &mut Interp<'_>, mut args: Args) -> Result<()> {
        let caller = args.take_named("caller");
        let mut positional = args.positional.into_iter();
        for (name, default) in &self.definition.params {
            let named = args.named.iter().position(|(known, _)| known == name);
            let value = match (positional.next(), named) {
                (Some(_), Some(_)) => return Err(TemplateError::failed(format!("got the argument `{name}` twice"))),
                (Some(value), None) => value,
                (None, Some(at)) => args.named.remove(at).1,
                (None, None) => match default {
                    Some(default) => interp.eval(default)?,
                    None => Value::missing(format!("the argument `{name}` was not given")),
                },
            };
            interp.set_local(name, value);
        }
        let uses = |name: &str| mentions(&self.definition.body, name);
        let rest: Vec<_> = positional.collect();
        if !rest.is_empty() && !uses("varargs") {
            return Err(TemplateError::failed(format!("takes at most {} arguments", self.definition.params.len())));
        }
        if let Some((name, _)) = args.named.first().filter(|_| !uses("kwargs")) {
            let near = nearest(name, self.definition.params.iter().map(|(known, _)| &**known));
            let error = TemplateError::failed(format!("has no argument `{name}`"));
            return Err(match near {
                Some(near) => error.hinted(format!("did you mean `{near}`?")),
                None => error,
            });
        }
        interp.set_local(&"varargs".into(), Value::tuple(rest));
        let named: Map = args.named.into_iter().map(|(name, value)| (Key::Str(name), value)).collect();
        interp.set_local(&"kwargs".into(), Value::dict(named));
        if let Some(caller) = caller {
            interp.set_local(&"caller".into(), caller);
        }
        Ok(())
    }
}

impl Object for Macro {
    fn type_name(&self) -> &'static str {
        "macro"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        match name {
            "name" => Some(Value::Str(self.definition.name.clone())),
            "arguments" => {
                Some(Value::tuple(self.definition.params.iter().map(|(name, _)| Value::Str(name.clone())).collect()))
            }
            _ => None,
        }
    }

    fn call(&self, interp: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        let mut frames = self.frames.clone();
        frames.push(Rc::default());
        let mut sink = Sink::text();
        let result = interp.nested("macro", |interp| {
            interp.elsewhere(frames, self.template.clone(), |interp| {
                self.bind(interp, args).map_err(|mut error| {
                    error.message = format!("macro `{}`: {}", self.definition.name, error.message);
                    error
                })?;
                interp.exec(&self.definition.body, &mut sink)
            })
        });
        Some(result.map(|()| Value::str(sink.into_text())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether a macro's body reads this name anywhere, which is how it declares that it takes surplus arguments.
fn mentions(body: &[ir::Stmt], name: &str) -> bool {
    super::super::names::names_in(body).contains(name)
}

/// An imported template: the names it defined.
pub(super) struct Module(pub(super) Rc<Frame>);

impl Module {
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        self.0.borrow().iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
    }
}

impl Object for Module {
    fn type_name(&self) -> &'static str {
        "template module"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        self.get(name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Interp<'_> {
    /// Evaluates the call of a call block, with `caller` as one more argument.
    pub(super) fn call_with_caller(&mut self, call: &Expr, caller: Value) -> Result<Value> {
        let (callee, args) = match &call.kind {
            ExprKind::Call { callee, args } => (self.value_of(callee)?, args),
            ExprKind::Method { of, name, args } => {
                let of = self.value_of(of)?;
                (self.attr(&of, name)?, args)
            }
            _ => return Err(self.located(TemplateError::failed("a call block calls a macro"), call.span)),
        };
        let mut args = self.eval_args(None, args)?;
        args.named.push(("caller".into(), caller));
        self.call(&callee, args).map_err(|error| self.located(error, call.span))
    }
}
