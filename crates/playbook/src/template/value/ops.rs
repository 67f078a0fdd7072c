//! Arithmetic on template values, with Python's rules for signs, floats and repetition.

use super::super::error::{Result, TemplateError};
use super::super::eval::Interp;
use super::super::format::percent;
use super::super::ir::BinaryOp;
use super::{Delta, Value};

/// More repetitions than this of a text or list are a mistake, not a configuration.
const MAX_REPEATED: usize = 10_000_000;

/// Applies an operator to two values.
///
/// # Errors
/// When one is missing or the types do not go together.
pub(in super::super) fn binary(interp: &mut Interp<'_>, op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    a.defined()?;
    b.defined()?;
    match op {
        BinaryOp::Concat => {
            let mut text = interp.text(a)?;
            text.push_str(&interp.text(b)?);
            Ok(Value::str(text))
        }
        BinaryOp::Add => add(interp, a, b),
        BinaryOp::Subtract => match (a, b) {
            (Value::DateTime(a), Value::DateTime(b)) => Ok(Value::object(Delta(a.duration_since(*b)))),
            _ => arithmetic(op, a, b),
        },
        BinaryOp::Multiply => multiply(interp, a, b),
        BinaryOp::Remainder => match a {
            Value::Str(text) => percent(interp, text, b).map(Value::str),
            _ => arithmetic(op, a, b),
        },
        BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Power => arithmetic(op, a, b),
    }
}

pub(in super::super) fn negate(value: &Value) -> Result<Value> {
    value.defined()?;
    match value {
        Value::Float(float) => Ok(Value::Float(-float)),
        other => other
            .as_int()
            .and_then(i128::checked_neg)
            .map(Value::Int)
            .ok_or_else(|| TemplateError::failed(format!("{} has no negative", other.kind_text()))),
    }
}

fn mismatch(op: BinaryOp, a: &Value, b: &Value) -> Box<TemplateError> {
    let sign = match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::FloorDivide => "//",
        BinaryOp::Remainder => "%",
        BinaryOp::Power => "**",
        BinaryOp::Concat => "~",
    };
    let error = TemplateError::failed(format!("`{sign}` can not join {} and {}", a.kind_text(), b.kind_text()));
    match (op, a, b) {
        (BinaryOp::Add, Value::Str(_), _) | (BinaryOp::Add, _, Value::Str(_)) => {
            error.hinted("use `~` to join texts, or `| int` to add numbers")
        }
        _ => error,
    }
}

fn add(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<Value> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(Value::str(format!("{a}{b}"))),
        (Value::Tuple(a), Value::Tuple(b)) => Ok(Value::tuple(a.iter().chain(b.iter()).cloned().collect())),
        (Value::Tuple(_), _) | (_, Value::Tuple(_)) => Err(mismatch(BinaryOp::Add, a, b)),
        _ if a.is_list() && b.is_list() => {
            let mut items = interp.items(a)?;
            items.extend(interp.items(b)?);
            Ok(Value::list(items))
        }
        _ => arithmetic(BinaryOp::Add, a, b),
    }
}

fn multiply(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<Value> {
    let (value, times) = match (a.as_int(), b.as_int()) {
        (None, Some(times)) if !a.is_number() => (a, times),
        (Some(times), None) if !b.is_number() => (b, times),
        _ => return arithmetic(BinaryOp::Multiply, a, b),
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let length = match value {
        Value::Str(text) => text.len(),
        _ if value.is_list() => interp.items(value)?.len(),
        _ => return Err(mismatch(BinaryOp::Multiply, a, b)),
    };
    if length.saturating_mul(times) > MAX_REPEATED {
        return Err(TemplateError::failed(format!("repeating {} {times} times is too much", value.kind_text())));
    }
    if let Value::Str(text) = value {
        return Ok(Value::str(text.repeat(times)));
    }
    let items = interp.items(value)?;
    let repeated = std::iter::repeat_n(items, times).flatten().collect();
    Ok(if matches!(value, Value::Tuple(_)) { Value::tuple(repeated) } else { Value::list(repeated) })
}

fn arithmetic(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int()) {
        return whole(op, a, b);
    }
    match (a.as_float(), b.as_float()) {
        (Some(a), Some(b)) => floating(op, a, b),
        _ => Err(mismatch(op, a, b)),
    }
}

fn whole(op: BinaryOp, a: i128, b: i128) -> Result<Value> {
    if b == 0 && matches!(op, BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder) {
        return Err(TemplateError::failed("division by zero"));
    }
    let result = match op {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Subtract => a.checked_sub(b),
        BinaryOp::Multiply => a.checked_mul(b),
        BinaryOp::Divide => return Ok(Value::Float(a as f64 / b as f64)),
        // Python rounds down, and a remainder has the sign of the divisor.
        BinaryOp::FloorDivide => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        BinaryOp::Remainder => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        BinaryOp::Power if b < 0 => return Ok(Value::Float((a as f64).powf(b as f64))),
        BinaryOp::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        BinaryOp::Concat => None,
    };
    result.map(Value::Int).ok_or_else(|| TemplateError::failed("the number is too large (more than 128 bits)"))
}

fn floating(op: BinaryOp, a: f64, b: f64) -> Result<Value> {
    if b == 0.0 && matches!(op, BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder) {
        return Err(TemplateError::failed("division by zero"));
    }
    Ok(Value::Float(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => a / b,
        BinaryOp::FloorDivide => (a / b).floor(),
        BinaryOp::Remainder => a - b * (a / b).floor(),
        BinaryOp::Power => a.powf(b),
        BinaryOp::Concat => return Err(TemplateError::failed("`~` joins texts")),
    }))
}
