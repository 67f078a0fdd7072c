//! Keys of dicts: any plain value, equal as in Python (`1 == 1.0 == true`).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::Equivalent;

use super::super::error::{Result, TemplateError};
use super::Value;

/// A value that may be a dict's key.
#[derive(Debug, Clone)]
pub(in super::super) enum Key {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    Tuple(Vec<Key>),
}

impl Key {
    /// # Errors
    /// When the value is of a type that can not be a key.
    pub(in super::super) fn new(value: &Value) -> Result<Self> {
        match value {
            Value::None => Ok(Self::None),
            Value::Bool(flag) => Ok(Self::Bool(*flag)),
            Value::Int(number) => Ok(Self::Int(*number)),
            Value::Float(number) => Ok(Self::Float(*number)),
            Value::Str(text) => Ok(Self::Str(text.clone())),
            Value::Tuple(items) => Ok(Self::Tuple(items.iter().map(Self::new).collect::<Result<_>>()?)),
            Value::Undefined(missing) => Err(missing.error()),
            Value::Omit
            | Value::List(_)
            | Value::Dict(_)
            | Value::Source(_)
            | Value::DateTime(_)
            | Value::Object(_) => {
                Err(TemplateError::failed(format!("{} can not be the key of a dict", value.kind_text())))
            }
        }
    }

    pub(in super::super) fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    pub(in super::super) fn to_value(&self) -> Value {
        match self {
            Self::None => Value::None,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Str(text) => Value::Str(text.clone()),
            Self::Tuple(items) => Value::tuple(items.iter().map(Self::to_value).collect()),
        }
    }

    /// The number behind the key; whole floats count as integers, so that hash and equality agree.
    fn number(&self) -> Option<Numeric> {
        match self {
            Self::Bool(flag) => Some(Numeric::Whole(i128::from(*flag))),
            Self::Int(number) => Some(Numeric::Whole(*number)),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e30 => {
                Some(Numeric::Whole(*number as i128))
            }
            Self::Float(number) => Some(Numeric::Other(number.to_bits())),
            Self::None | Self::Str(_) | Self::Tuple(_) => None,
        }
    }
}

/// A number made comparable: whole, or the bits of a float.
#[derive(PartialEq, Eq, Hash)]
enum Numeric {
    Whole(i128),
    Other(u64),
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::None, Self::None) => true,
            (a, b) => matches!((a.number(), b.number()), (Some(a), Some(b)) if a == b),
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // Exactly as `str` hashes, so that lookups by `&str` need no allocation.
            Self::Str(text) => text.hash(state),
            Self::Tuple(items) => items.hash(state),
            Self::None => 0u8.hash(state),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => self.number().hash(state),
        }
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}
