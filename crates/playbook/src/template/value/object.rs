//! Values with behaviour of their own: loops, macros, modules, namespaces, cyclers, time spans.

use std::any::Any;

use super::super::error::Result;
use super::super::eval::{Args, Interp};
use super::Value;

/// A value that is neither plain data nor a container.
pub(in super::super) trait Object {
    /// The type's name for messages.
    fn type_name(&self) -> &'static str;

    /// An attribute by name, or nothing.
    fn attr(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// Calls the object itself, or nothing when it is no function.
    fn call(&self, interp: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        let _ = (interp, args);
        None
    }

    /// Calls a method, or nothing when there is none of that name.
    fn method(&self, interp: &mut Interp<'_>, name: &str, args: Args) -> Option<Result<Value>> {
        let _ = (interp, name, args);
        None
    }

    /// Its text when printed.
    fn text(&self) -> String {
        format!("<{}>", self.type_name())
    }

    fn as_any(&self) -> &dyn Any;
}

/// The difference of two moments, as Python's `timedelta` gives it.
pub(in super::super) struct Delta(pub(in super::super) jiff::SignedDuration);

impl Object for Delta {
    fn type_name(&self) -> &'static str {
        "timedelta"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        let seconds = self.0.as_secs();
        match name {
            "days" => Some(Value::int(seconds.div_euclid(86_400))),
            "seconds" => Some(Value::int(seconds.rem_euclid(86_400))),
            "microseconds" => Some(Value::int(self.0.subsec_micros().rem_euclid(1_000_000))),
            _ => None,
        }
    }

    fn method(&self, _: &mut Interp<'_>, name: &str, _: Args) -> Option<Result<Value>> {
        (name == "total_seconds").then(|| Ok(Value::Float(self.0.as_secs_f64())))
    }

    fn text(&self) -> String {
        let seconds = self.0.as_secs();
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
        match days {
            0 => clock,
            1 | -1 => format!("{days} day, {clock}"),
            _ => format!("{days} days, {clock}"),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
