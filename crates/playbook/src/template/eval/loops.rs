//! `for`, the `loop` variable, and the helpers that keep state between turns.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::super::error::{Result, TemplateError};
use super::super::ir::{Loop, Template};
use super::super::value::{Key, Map, Object, Value, equal};
use super::{Args, Frame, Interp, Sink};

impl Interp<'_> {
    pub(super) fn exec_for(&mut self, body: &Arc<Loop>, sink: &mut Sink) -> Result<()> {
        let value = self.value_of(&body.iter)?;
        let items = self.items(&value).map_err(|error| self.located(error, body.iter.span))?;
        self.run_loop(body, items, 0, sink)
    }

    fn run_loop(&mut self, body: &Arc<Loop>, items: Vec<Value>, depth: usize, sink: &mut Sink) -> Result<()> {
        let items = match &body.filter {
            None => items,
            Some(filter) => {
                let mut kept = Vec::new();
                for item in items {
                    let keep = self.framed(|interp| {
                        interp.assign(&body.target, item.clone())?;
                        let verdict = interp.value_of(filter)?;
                        interp.truth(&verdict)
                    })?;
                    if keep {
                        kept.push(item);
                    }
                }
                kept
            }
        };
        if items.is_empty() {
            return self.framed(|interp| interp.exec(&body.otherwise, sink));
        }
        let state = Rc::new(LoopState {
            items,
            at: Cell::new(0),
            depth,
            last_changed: RefCell::new(None),
            recursion: body.recursive.then(|| Recursion {
                body: body.clone(),
                frames: self.frames.clone(),
                template: self.template.clone(),
            }),
        });
        let name: Arc<str> = "loop".into();
        for at in 0..state.items.len() {
            state.at.set(at);
            self.framed(|interp| {
                interp.set_local(&name, Value::Object(state.clone()));
                interp.assign(&body.target, state.items[at].clone())?;
                interp.exec(&body.body, sink)
            })?;
        }
        Ok(())
    }
}

struct Recursion {
    body: Arc<Loop>,
    frames: Vec<Rc<Frame>>,
    template: Arc<Template>,
}

/// The `loop` variable.
struct LoopState {
    items: Vec<Value>,
    at: Cell<usize>,
    depth: usize,
    last_changed: RefCell<Option<Value>>,
    recursion: Option<Recursion>,
}

impl Object for LoopState {
    fn type_name(&self) -> &'static str {
        "loop"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        let (at, len) = (self.at.get(), self.items.len());
        Some(match name {
            "index" => Value::int(at + 1),
            "index0" => Value::int(at),
            "revindex" => Value::int(len - at),
            "revindex0" => Value::int(len - at - 1),
            "first" => Value::Bool(at == 0),
            "last" => Value::Bool(at + 1 == len),
            "length" => Value::int(len),
            "depth" => Value::int(self.depth + 1),
            "depth0" => Value::int(self.depth),
            "previtem" => match at.checked_sub(1) {
                Some(before) => self.items[before].clone(),
                None => Value::missing("the first turn of a loop has no previous item"),
            },
            "nextitem" => match self.items.get(at + 1) {
                Some(next) => next.clone(),
                None => Value::missing("the last turn of a loop has no next item"),
            },
            _ => return None,
        })
    }

    fn call(&self, interp: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        let recursion = self.recursion.as_ref()?;
        Some(args.one("iterable").and_then(|value| {
            let items = interp.items(&value)?;
            let mut sink = Sink::text();
            interp.nested("recursive loop", |interp| {
                interp.elsewhere(recursion.frames.clone(), recursion.template.clone(), |interp| {
                    interp.run_loop(&recursion.body, items, self.depth + 1, &mut sink)
                })
            })?;
            Ok(Value::str(sink.into_text()))
        }))
    }

    fn method(&self, interp: &mut Interp<'_>, name: &str, args: Args) -> Option<Result<Value>> {
        match name {
            "cycle" if args.positional.is_empty() => Some(Err(TemplateError::failed("`loop.cycle` needs values"))),
            "cycle" => Some(Ok(args.positional[self.at.get() % args.positional.len()].clone())),
            "changed" => {
                let now = Value::tuple(args.positional);
                let before = self.last_changed.replace(Some(now.clone()));
                Some(match before {
                    Some(before) => equal(interp, &before, &now).map(|same| Value::Bool(!same)),
                    None => Ok(Value::Bool(true)),
                })
            }
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `namespace()`: attributes that a loop may set for the template around it.
pub(in super::super) struct Namespace(pub(in super::super) RefCell<Map>);

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "namespace"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        self.0.borrow().get(name).cloned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Namespace {
    pub(in super::super) fn new(values: impl IntoIterator<Item = (Key, Value)>) -> Self {
        Self(RefCell::new(values.into_iter().collect()))
    }
}

/// `joiner()`: empty text the first time it is called, the separator after that.
pub(in super::super) struct Joiner {
    pub(in super::super) separator: Arc<str>,
    pub(in super::super) used: Cell<bool>,
}

impl Object for Joiner {
    fn type_name(&self) -> &'static str {
        "joiner"
    }

    fn call(&self, _: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        Some(
            args.none()
                .map(|()| if self.used.replace(true) { Value::Str(self.separator.clone()) } else { Value::str("") }),
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `cycler(...)`: gives its values in turn.
pub(in super::super) struct Cycler {
    pub(in super::super) items: Vec<Value>,
    pub(in super::super) at: Cell<usize>,
}

impl Object for Cycler {
    fn type_name(&self) -> &'static str {
        "cycler"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        (name == "current").then(|| self.items[self.at.get() % self.items.len()].clone())
    }

    fn method(&self, _: &mut Interp<'_>, name: &str, args: Args) -> Option<Result<Value>> {
        match name {
            "next" => Some(args.none().map(|()| {
                let at = self.at.replace(self.at.get() + 1);
                self.items[at % self.items.len()].clone()
            })),
            "reset" => Some(args.none().map(|()| {
                self.at.set(0);
                Value::None
            })),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
