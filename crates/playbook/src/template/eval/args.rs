//! Arguments of filters, tests, functions and methods, bound to parameter names as Python does.

use std::sync::Arc;

use super::super::error::{Result, TemplateError, nearest};
use super::super::value::Value;
use super::Interp;

/// Positional and named arguments of one call; for filters and tests the first positional one is the input.
#[derive(Default)]
pub(in super::super) struct Args {
    pub(in super::super) positional: Vec<Value>,
    pub(in super::super) named: Vec<(Arc<str>, Value)>,
}

impl Args {
    pub(in super::super) fn of(positional: Vec<Value>) -> Self {
        Self { positional, named: Vec::new() }
    }

    /// Splits off the input of a filter or test.
    pub(in super::super) fn input(mut self) -> (Value, Self) {
        let input = if self.positional.is_empty() { Value::None } else { self.positional.remove(0) };
        (input, self)
    }

    /// Binds to the parameter names, in order.
    ///
    /// # Errors
    /// When there are too many arguments, an unknown name, or one parameter twice.
    pub(in super::super) fn bind<const N: usize>(self, names: [&str; N]) -> Result<[Option<Value>; N]> {
        if self.positional.len() > N {
            let most = if N == 0 { "no arguments".to_owned() } else { format!("at most {N}: {}", names.join(", ")) };
            return Err(TemplateError::failed(format!("takes {most}; {} were given", self.positional.len())));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let Some(at) = names.iter().position(|known| **known == *name) else {
                let error = TemplateError::failed(format!("has no parameter `{name}`"));
                return Err(match nearest(&name, names) {
                    Some(near) => error.hinted(format!("did you mean `{near}`?")),
                    None => error,
                });
            };
            if bound[at].is_some() {
                return Err(TemplateError::failed(format!("got the parameter `{name}` twice")));
            }
            bound[at] = Some(value);
        }
        Ok(bound)
    }

    /// Insists on no arguments.
    ///
    /// # Errors
    /// When there are some.
    pub(in super::super) fn none(self) -> Result<()> {
        self.bind([]).map(|[]| ())
    }

    /// The one argument, required.
    ///
    /// # Errors
    /// When it is missing, or there are more.
    pub(in super::super) fn one(self, name: &str) -> Result<Value> {
        let [value] = self.bind([name])?;
        required(value, name)
    }

    /// Takes a named argument out.
    pub(in super::super) fn take_named(&mut self, name: &str) -> Option<Value> {
        let at = self.named.iter().position(|(known, _)| &**known == name)?;
        Some(self.named.remove(at).1)
    }

    /// The first missing value among the arguments.
    pub(in super::super) fn check_defined(&self) -> Result<()> {
        for value in self.positional.iter().chain(self.named.iter().map(|(_, value)| value)) {
            value.defined()?;
        }
        Ok(())
    }
}

/// # Errors
/// When the argument was not given.
pub(in super::super) fn required(value: Option<Value>, name: &str) -> Result<Value> {
    value.ok_or_else(|| TemplateError::failed(format!("needs the argument `{name}`")))
}

impl Interp<'_> {
    /// A text argument; numbers and booleans are taken by their text.
    ///
    /// # Errors
    /// When it is missing or a container.
    pub(in super::super) fn arg_text(&mut self, value: Option<Value>, name: &str) -> Result<String> {
        let value = required(value, name)?;
        self.text(&value)
    }

    /// An optional text argument; none counts as not given.
    ///
    /// # Errors
    /// When the value has no text.
    pub(in super::super) fn arg_text_or(&mut self, value: Option<Value>, default: &str) -> Result<String> {
        match value {
            None | Some(Value::None) => Ok(default.to_owned()),
            Some(value) => self.text(&value),
        }
    }

    /// An optional whole number; none counts as not given.
    ///
    /// # Errors
    /// When it is no whole number.
    pub(in super::super) fn arg_int_or(&mut self, value: Option<Value>, name: &str, default: i128) -> Result<i128> {
        match value {
            None | Some(Value::None) => Ok(default),
            Some(value) => value.as_int().ok_or_else(|| {
                TemplateError::failed(format!("wants a whole number as `{name}`, not {}", value.kind_text()))
            }),
        }
    }

    /// A size or count: a whole number that is not negative and fits memory.
    ///
    /// # Errors
    /// When it is no such number.
    pub(in super::super) fn arg_count_or(&mut self, value: Option<Value>, name: &str, default: usize) -> Result<usize> {
        let number = self.arg_int_or(value, name, default as i128)?;
        usize::try_from(number)
            .ok()
            .filter(|count| *count <= 100_000_000)
            .ok_or_else(|| TemplateError::failed(format!("wants a count of 0 to 100000000 as `{name}`, not {number}")))
    }

    /// An optional flag, by truth.
    ///
    /// # Errors
    /// When the value is missing.
    pub(in super::super) fn arg_flag(&mut self, value: Option<Value>, default: bool) -> Result<bool> {
        value.map_or(Ok(default), |value| self.truth(&value))
    }
}
