//! The evaluator: walks a compiled template with one host's variables.
//!
//! One [`Interp`] lives for one rendering. It holds the template's own names in frames, the variables being templated
//! (to notice a cycle), and what was already converted. It changes nothing outside itself.

mod access;
mod args;
mod expr;
mod inherit;
mod loops;
mod macros;
mod stmt;
mod variables;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Engine;
use super::error::{ErrorKind, Place, Result, TemplateError, nearest};
use super::ir::{Expr, Span, Template};
use super::source::place_in;
use super::value::{Scope, Value};
use super::vars::Vars;

pub(super) use self::args::{Args, required};
use self::inherit::Chains;
pub(super) use self::inherit::SelfBlocks;
pub(super) use self::loops::{Cycler, Joiner, Namespace};
pub(super) use self::stmt::Sink;

/// Names that a template itself defined at one level: the file, a loop's turn, a macro's call.
pub(super) type Frame = RefCell<Vec<(Arc<str>, Value)>>;

/// How deep variables, macros and includes may nest; deeper ones call themselves without end.
const MAX_DEPTH: usize = 60;

/// How deep lists and dicts may nest when they are walked; deeper ones hold themselves.
const MAX_VALUE_DEPTH: usize = 150;

pub(super) struct Interp<'a> {
    pub(super) engine: &'a Engine,
    vars: &'a dyn Vars,
    /// Whose variables are in force: nothing for those of the rendering.
    scope: Scope,
    frames: Vec<Rc<Frame>>,
    template: Arc<Template>,
    /// Variables whose text is being templated right now, outermost first.
    pending: Vec<Pending>,
    /// Variables of the rendering's own scope that were already evaluated.
    seen: HashMap<Arc<str>, Value>,
    /// Frames that macros hold on to; emptied at the end, for a macro and its frame hold each other.
    captured: Vec<Rc<Frame>>,
    chains: Chains,
    depth: usize,
    value_depth: usize,
}

#[derive(PartialEq, Eq)]
struct Pending {
    scope: usize,
    name: String,
}

impl<'a> Interp<'a> {
    pub(super) fn new(engine: &'a Engine, vars: &'a dyn Vars, template: Arc<Template>) -> Self {
        Self {
            engine,
            vars,
            scope: None,
            frames: vec![Rc::default()],
            template,
            pending: Vec::new(),
            seen: HashMap::new(),
            captured: Vec::new(),
            chains: Chains::default(),
            depth: 0,
            value_depth: 0,
        }
    }

    /// The variables in force.
    pub(super) fn with_vars<T>(&self, use_them: impl FnOnce(&dyn Vars) -> T) -> T {
        match &self.scope {
            Some(vars) => use_them(&**vars),
            None => use_them(self.vars),
        }
    }

    /// The error with its place in the current template and, for a missing variable, the nearest name there is.
    fn located(&self, error: Box<TemplateError>, span: Span) -> Box<TemplateError> {
        error.or_place(|| self.place(span))
    }

    fn place(&self, span: Span) -> Place {
        place_in(&self.template.source, span, self.template.name.as_deref())
    }

    /// Suggests a variable for one that is missing; done once, when the error leaves the engine.
    pub(super) fn suggest(&self, mut error: Box<TemplateError>) -> Box<TemplateError> {
        if let (Some(word), None) = (&error.variable, &error.hint) {
            let names = self.with_vars(|vars| vars.names());
            let near = nearest(word, names.iter().map(String::as_str));
            error.hint = near.map(|name| format!("did you mean `{name}`?"));
        }
        error
    }

    /// Evaluates an expression of the current template and insists that there is something.
    pub(super) fn value_of(&mut self, expr: &Expr) -> Result<Value> {
        let value = self.eval(expr)?;
        match value {
            Value::Undefined(missing) => Err(self.located(missing.error(), expr.span)),
            value => Ok(value),
        }
    }

    /// Runs `inside` one level deeper, or refuses when that is absurdly deep.
    fn nested<T>(&mut self, what: &str, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(TemplateError::new(
                ErrorKind::Cycle,
                format!("{what} nests more than {MAX_DEPTH} levels deep, so it most likely leads back to itself"),
            ));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// Runs `inside` for the parts of a value, or refuses when that is absurdly deep.
    pub(super) fn inside<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.value_depth >= MAX_VALUE_DEPTH {
            let message = format!("a value is nested more than {MAX_VALUE_DEPTH} levels deep, or holds itself");
            return Err(TemplateError::failed(message));
        }
        self.value_depth += 1;
        let result = inside(self);
        self.value_depth -= 1;
        result
    }

    /// Runs `inside` with a fresh frame on top.
    fn framed<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.frames.push(Rc::default());
        let result = inside(self);
        self.frames.pop();
        result
    }

    /// Runs `inside` with other frames and another template in force.
    fn elsewhere<T>(
        &mut self,
        frames: Vec<Rc<Frame>>,
        template: Arc<Template>,
        inside: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let frames = std::mem::replace(&mut self.frames, frames);
        let template = std::mem::replace(&mut self.template, template);
        let result = inside(self);
        self.frames = frames;
        self.template = template;
        result
    }

    fn set_local(&mut self, name: &Arc<str>, value: Value) {
        let Some(frame) = self.frames.last() else { return };
        let mut frame = frame.borrow_mut();
        match frame.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => frame.push((name.clone(), value)),
        }
    }

    fn local(&self, name: &str) -> Option<Value> {
        self.frames.iter().rev().find_map(|frame| {
            frame.borrow().iter().rev().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
        })
    }
}

impl Drop for Interp<'_> {
    fn drop(&mut self) {
        for frame in self.captured.drain(..) {
            frame.borrow_mut().clear();
        }
    }
}
