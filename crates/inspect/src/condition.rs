//! Conditions: what a catalogue entry says about a reading, as data.

use crate::unit::{Quantity, QuantityError, Unit};
use kfleet_model::Value;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a reading is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The number is greater.
    Above,
    /// The number is greater or equal.
    AtLeast,
    /// The number is smaller.
    Below,
    /// The number is smaller or equal.
    AtMost,
    /// The number, text or flag is this, or one of these; texts may hold `*`.
    Is,
    /// The same, turned round.
    IsNot,
    /// The list holds something.
    NotEmpty,
    /// The list holds one of these; they may hold `*`.
    Holds,
    /// The list holds none of these.
    Lacks,
    /// The reading is another one than last time.
    Changed,
}

impl Op {
    /// The sign or word in texts.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Is => "is",
            Self::IsNot => "is not",
            Self::NotEmpty => "any",
            Self::Holds => "holds",
            Self::Lacks => "lacks",
            Self::Changed => "changed",
        }
    }

    /// It compares numbers.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        match self {
            Self::Above | Self::AtLeast | Self::Below | Self::AtMost => true,
            Self::Is | Self::IsNot | Self::NotEmpty | Self::Holds | Self::Lacks | Self::Changed => false,
        }
    }

    /// It needs no value.
    #[must_use]
    pub fn is_alone(self) -> bool {
        match self {
            Self::NotEmpty | Self::Changed => true,
            Self::Above
            | Self::AtLeast
            | Self::Below
            | Self::AtMost
            | Self::Is
            | Self::IsNot
            | Self::Holds
            | Self::Lacks => false,
        }
    }

    /// Compares two numbers of one unit; false for what compares no numbers.
    #[must_use]
    pub fn compare(self, reading: f64, limit: f64) -> bool {
        match self {
            Self::Above => reading > limit,
            Self::AtLeast => reading >= limit,
            Self::Below => reading < limit,
            Self::AtMost => reading <= limit,
            Self::Is | Self::IsNot | Self::NotEmpty | Self::Holds | Self::Lacks | Self::Changed => false,
        }
    }

    /// The limit at which a state is left that this condition led into: `exit` hundredths on the good side of it.
    #[must_use]
    pub fn exit_limit(self, limit: f64, exit: f64) -> f64 {
        let distance = limit.abs() * exit / 100.0;
        match self {
            Self::Above | Self::AtLeast => limit - distance,
            Self::Below | Self::AtMost => limit + distance,
            Self::Is | Self::IsNot | Self::NotEmpty | Self::Holds | Self::Lacks | Self::Changed => limit,
        }
    }
}

/// What is made of a reading before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// How many things a list has.
    Count,
    /// A number without its sign.
    Magnitude,
    /// By how much a counter has grown since the last inspection; what it counted since its reset when it was reset.
    Growth,
    /// The growth of a counter of milliseconds as a share of the time that passed.
    Busy,
    /// What a list holds that it did not hold last time.
    Added,
    /// How long ago a moment was.
    Age,
    /// How long it is until a moment.
    Left,
}

/// The value that a reading is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A number with its unit.
    Number(Quantity),
    /// A yes or no.
    Flag(bool),
    /// One text or several.
    Words(Vec<String>),
}

/// Why a value is no limit of a condition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LimitError {
    /// It is no number where one is wanted, or has the wrong unit.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// It is of the wrong kind.
    #[error("{got} is given, {wanted} is wanted")]
    Kind {
        /// What was given.
        got: String,
        /// What is wanted.
        wanted: &'static str,
    },
}

impl Limit {
    /// Reads a value of data or of `inspection.yml`.
    ///
    /// # Errors
    /// When it is of a kind that no limit has, or an ordering operator gets something else than a number.
    pub fn parse(op: Op, value: &Value) -> Result<Self, LimitError> {
        if op.is_numeric() {
            return Ok(Self::Number(quantity(value)?));
        }
        let kind =
            || LimitError::Kind { got: value.to_string(), wanted: "a text, a list of texts, a number, true or false" };
        Ok(match value {
            Value::Bool(flag) => Self::Flag(*flag),
            Value::Number(_) => Self::Number(quantity(value)?),
            // A number with a unit is one; a bare number in quotes is a word, as a configuration has it.
            Value::String(text) => match Quantity::parse(text) {
                Ok(number) if number.unit != Unit::Count => Self::Number(number),
                Ok(_) | Err(_) => Self::Words(vec![text.clone()]),
            },
            Value::Array(items) => {
                let words: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                Self::Words(words.ok_or_else(kind)?)
            }
            Value::Null | Value::Object(_) => return Err(kind()),
        })
    }

    /// Reads a value that takes the place of this one: of the same kind, and in a unit that measures the same.
    ///
    /// # Errors
    /// When it is not.
    pub fn replaced_by(&self, op: Op, value: &Value) -> Result<Self, LimitError> {
        let new = Self::parse(op, value)?;
        match (self, new) {
            (Self::Number(old), Self::Number(new)) => {
                // A bare number is taken in the unit of the built-in value.
                let bare = matches!(value, Value::Number(_))
                    || value.as_str().is_some_and(|t| t.trim().parse::<f64>().is_ok());
                let new = if bare { Quantity::new(new.value, old.unit) } else { new.to(old.unit)? };
                Ok(Self::Number(new))
            }
            (Self::Flag(_), new @ Self::Flag(_)) | (Self::Words(_), new @ Self::Words(_)) => Ok(new),
            (Self::Number(_), _) => Err(LimitError::Kind { got: value.to_string(), wanted: "a number" }),
            (Self::Flag(_), _) => Err(LimitError::Kind { got: value.to_string(), wanted: "true or false" }),
            (Self::Words(_), _) => {
                Err(LimitError::Kind { got: value.to_string(), wanted: "a text or a list of texts" })
            }
        }
    }

    /// The number, when it is one.
    #[must_use]
    pub fn number(&self) -> Option<Quantity> {
        match self {
            Self::Number(quantity) => Some(*quantity),
            Self::Flag(_) | Self::Words(_) => None,
        }
    }
}

/// A number, or a text with a number and a unit.
///
/// # Errors
/// When it is neither.
pub(crate) fn quantity(value: &Value) -> Result<Quantity, LimitError> {
    match value {
        Value::Number(number) => Ok(Quantity::new(number.as_f64().unwrap_or(f64::NAN), Unit::Count)),
        Value::String(text) => Ok(Quantity::parse(text)?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(LimitError::Kind { got: value.to_string(), wanted: "a number with a unit" })
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Words(words) => f.write_str(&words.join(" or ")),
        }
    }
}

/// What a reading is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Nothing: the operator stands alone.
    Nothing,
    /// A limit that layers may set.
    Limit(Limit),
    /// Another reading of the same part or of the same owner, times a factor.
    Reading {
        /// Its key.
        key: String,
        /// The factor.
        factor: f64,
    },
}

/// One condition of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The name by which layers set its limit.
    pub name: String,
    /// The reading that it judges; none in a check that has a rule, which gives the number itself.
    pub reading: Option<String>,
    /// An entry of that reading, when it has several.
    pub entry: Option<String>,
    /// What an entry that is not there is taken for: the service's own default.
    pub default: Option<String>,
    /// What is made of it first.
    pub made: Option<As>,
    /// The reading that it is taken as a share of.
    pub share_of: Option<String>,
    /// Below this the whole is too small for a share of it to mean anything.
    pub least: f64,
    /// How many samples there must be at least, of a reading that is sampled. All of them must cross the limit.
    pub samples: usize,
    /// How it is compared.
    pub op: Op,
    /// What with.
    pub against: Operand,
}

impl Condition {
    /// The condition with the limit that holds, such as `> 75 %`.
    #[must_use]
    pub fn text(&self, limit: Option<&Limit>) -> String {
        let op = self.op.sign();
        match (&self.against, limit) {
            (Operand::Nothing, _) => op.to_owned(),
            (Operand::Limit(_), Some(limit)) | (Operand::Limit(limit), None) => format!("{op} {limit}"),
            (Operand::Reading { key, factor }, _) if (*factor - 1.0).abs() < f64::EPSILON => format!("{op} {key}"),
            (Operand::Reading { key, factor }, _) => format!("{op} {factor} x {key}"),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, text, wanted) in [
            ("kafka", "kafka", true),
            ("kafka", "kafka-1", false),
            ("kafka*", "kafka-1", true),
            ("*", "", true),
            ("*.example", "a.example", true),
            ("*.example", "a.example.org", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("nfs*", "nfs4", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_limit_is_replaced_only_by_one_of_its_kind() {
        let limit = Limit::parse(Op::Above, &Value::from("75 %")).unwrap();
        assert_eq!(limit.replaced_by(Op::Above, &Value::from(80)).unwrap().to_string(), "80 %");
        assert_eq!(limit.replaced_by(Op::Above, &Value::from("81%")).unwrap().to_string(), "81 %");
        let error = limit.replaced_by(Op::Above, &Value::from("5 ms")).unwrap_err().to_string();
        assert_eq!(error, "5 ms can not be compared with a number in %");
        let error = limit.replaced_by(Op::Above, &Value::Bool(true)).unwrap_err().to_string();
        assert_eq!(error, "true is given, a number with a unit is wanted");
        let words = Limit::parse(Op::Is, &Value::from("always")).unwrap();
        let error = words.replaced_by(Op::Is, &Value::Bool(true)).unwrap_err().to_string();
        assert_eq!(error, "true is given, a text or a list of texts is wanted");
    }

    #[test]
    fn the_exit_limit_lies_on_the_good_side() {
        assert!((Op::Above.exit_limit(80.0, 10.0) - 72.0).abs() < 1e-9);
        assert!((Op::Below.exit_limit(10.0, 10.0) - 11.0).abs() < 1e-9);
        assert!((Op::Above.exit_limit(-10.0, 10.0) + 11.0).abs() < 1e-9);
    }
}
