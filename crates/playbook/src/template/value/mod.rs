//! Values while a template is being evaluated: Python's, because that is what templates were written against.
//!
//! They live for one rendering on one thread. Lists and dicts are shared and mutable (`acc.append(x)`), missing things
//! are values until somebody uses them, and variables of the caller stay [`Source`] nodes, converted and templated
//! piece by piece as they are touched.

mod compare;
mod json;
mod key;
mod object;
mod ops;
mod repr;
mod source;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

pub(super) use self::compare::{equal, order};
pub(super) use self::json::{from_json, to_json};
pub(super) use self::key::Key;
pub(super) use self::object::{Delta, Object};
pub(super) use self::ops::{binary, negate};
pub(super) use self::repr::float_text;
pub(super) use self::source::{Member, Scope, Source, Step, is_template};

use super::error::{ErrorKind, Result, TemplateError, nearest};

pub(super) type Map = IndexMap<Key, Value>;

/// A value of the template language.
#[derive(Clone)]
pub(super) enum Value {
    Undefined(Rc<Missing>),
    /// The `omit` marker.
    Omit,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    List(Rc<RefCell<Vec<Value>>>),
    Tuple(Rc<Vec<Value>>),
    Dict(Rc<RefCell<Map>>),
    /// A list or mapping of the caller's variables, not yet converted.
    Source(Rc<Source>),
    DateTime(jiff::civil::DateTime),
    Object(Rc<dyn Object>),
}

/// Something that was looked up and is not there: harmless until used.
pub(super) struct Missing {
    /// What was asked for, as a sentence: "`x` is undefined".
    pub(super) what: String,
    /// The word that was not found, and the words that were there, to suggest one.
    word: Option<String>,
    known: Option<Value>,
    /// It prints as nothing, as an inline `if` without `else` does.
    pub(super) silent: bool,
    /// The error of the variable's own text, when that is why it is missing.
    cause: Option<Box<TemplateError>>,
}

impl Missing {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), word: None, known: None, silent: false, cause: None }
    }
}

impl Value {
    pub(super) fn str(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn tuple(items: Vec<Value>) -> Self {
        Self::Tuple(Rc::new(items))
    }

    pub(super) fn dict(map: Map) -> Self {
        Self::Dict(Rc::new(RefCell::new(map)))
    }

    pub(super) fn object(object: impl Object + 'static) -> Self {
        Self::Object(Rc::new(object))
    }

    pub(super) fn strings<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::list(items.into_iter().map(Value::str).collect())
    }

    pub(super) fn int(number: impl TryInto<i128>) -> Self {
        // Lengths and indexes fit 128 bits on every machine there is.
        Self::Int(number.try_into().unwrap_or(i128::MAX))
    }

    /// A missing variable.
    pub(super) fn missing_variable(name: &str) -> Self {
        let mut missing = Missing::new(format!("`{name}` is undefined"));
        missing.word = Some(name.to_owned());
        Self::Undefined(Rc::new(missing))
    }

    /// A missing attribute or item of `owner`.
    pub(super) fn missing_member(owner: &Value, member: &str) -> Self {
        let mut missing = Missing::new(format!("{} has no member `{member}`", owner.kind_text()));
        missing.word = Some(member.to_owned());
        missing.known = Some(owner.clone());
        Self::Undefined(Rc::new(missing))
    }

    pub(super) fn missing(what: impl Into<String>) -> Self {
        Self::Undefined(Rc::new(Missing::new(what)))
    }

    /// Something missing that may be printed, as nothing.
    pub(super) fn missing_silently(what: impl Into<String>) -> Self {
        Self::Undefined(Rc::new(Missing { silent: true, ..Missing::new(what) }))
    }

    /// A variable that is there and whose text uses something that is not; using it gives that error.
    pub(super) fn missing_because(cause: Box<TemplateError>) -> Self {
        Self::Undefined(Rc::new(Missing { cause: Some(cause), ..Missing::new("") }))
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The number as an integer, for booleans and whole integers only.
    pub(super) fn as_int(&self) -> Option<i128> {
        if let Self::Int(number) = self {
            Some(*number)
        } else if let Self::Bool(flag) = self {
            Some(i128::from(*flag))
        } else {
            None
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        if let Self::Float(number) = self { Some(*number) } else { self.as_int().map(|number| number as f64) }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Bool(_))
    }

    pub(super) fn is_mapping(&self) -> bool {
        match self {
            Self::Dict(_) => true,
            Self::Source(source) => source.is_mapping(),
            _ => false,
        }
    }

    /// Whether it is a list, a tuple or something of the caller's that is one.
    pub(super) fn is_list(&self) -> bool {
        match self {
            Self::List(_) | Self::Tuple(_) => true,
            Self::Source(source) => !source.is_mapping(),
            _ => false,
        }
    }

    /// The name of its type in Python, as `type_debug` prints it and people know it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::Omit => "Omit",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Source(source) => {
                if source.is_mapping() {
                    "dict"
                } else {
                    "list"
                }
            }
            Self::DateTime(_) => "datetime",
            Self::Object(object) => object.type_name(),
        }
    }

    /// Its type with an article, for messages.
    pub(super) fn kind_text(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Int(_) => "an integer".to_owned(),
            Self::Str(_) => "a string".to_owned(),
            Self::Bool(_) => "a boolean".to_owned(),
            other => format!("a {}", other.type_name()),
        }
    }

    /// The error of using this value, when it is a missing one.
    pub(super) fn defined(&self) -> Result<&Self> {
        if let Self::Undefined(missing) = self { Err(missing.error()) } else { Ok(self) }
    }
}

impl Missing {
    /// The error of using it; suggests a name where the owner's names are at hand.
    pub(super) fn error(&self) -> Box<TemplateError> {
        if let Some(cause) = &self.cause {
            return cause.clone();
        }
        let mut error = TemplateError::new(ErrorKind::Undefined, self.what.clone());
        let names = match &self.known {
            Some(Value::Dict(map)) => map.borrow().keys().filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            Some(Value::Source(source)) => source.member_names(),
            Some(_) => Vec::new(),
            None => {
                // Who has all variables at hand suggests one of them.
                error.variable.clone_from(&self.word);
                return error;
            }
        };
        match nearest(self.word.as_deref().unwrap_or_default(), names.iter().map(String::as_str)) {
            Some(name) => error.hinted(format!("did you mean `{name}`?")),
            None => error,
        }
    }
}
