//! Filters on numbers.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::ir::BinaryOp;
use super::super::value::{self, Value};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("abs", abs),
    filter("int", int),
    filter("float", float),
    filter("round", round),
    filter("pow", pow),
    filter("log", log),
    filter("root", root),
    filter("bool", bool_filter),
    filter("filesizeformat", filesizeformat),
    filter("human_readable", human_readable),
    filter("human_to_bytes", human_to_bytes),
];

fn number(value: &Value) -> Result<f64> {
    value.as_float().ok_or_else(|| TemplateError::failed(format!("wants a number, not {}", value.kind_text())))
}

fn abs(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    match (input.as_int(), &input) {
        (Some(whole), _) => Ok(Value::Int(whole.saturating_abs())),
        (None, input) => number(input).map(|float| Value::Float(float.abs())),
    }
}

/// Python's `int(text, base)`: blanks around, underscores between digits, a sign, the base's own prefix.
pub(in super::super) fn whole_number(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (base, lower.get(..2)) {
        (16 | 0, Some("0x")) => (16, &lower[2..]),
        (8 | 0, Some("0o")) => (8, &lower[2..]),
        (2 | 0, Some("0b")) => (2, &lower[2..]),
        (0, _) => (10, &lower[..]),
        (base, _) => (base, &lower[..]),
    };
    if digits.starts_with(['+', '-', '_']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -number } else { number })
}

/// Python's `float(text)`.
fn float_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.trim_start_matches(['+', '-']);
    match plain.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => Some(f64::NAN),
        _ if plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') => text.replace('_', "").parse().ok(),
        _ => None,
    }
}

fn int(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [default, base] = args.bind(["default", "base"])?;
    let base = interp.arg_int_or(base, "base", 10)?;
    let base = u32::try_from(base)
        .ok()
        .filter(|base| *base == 0 || (2..=36).contains(base))
        .ok_or_else(|| TemplateError::failed(format!("the base is 0 or 2 to 36, not {base}")))?;
    let truncated = |float: f64| (float.is_finite() && float.abs() < 1e37).then_some(float.trunc() as i128);
    let whole = match &input {
        Value::Str(text) => whole_number(text, base).or_else(|| float_number(text).and_then(truncated)),
        Value::Float(float) => truncated(*float),
        other => other.as_int(),
    };
    Ok(whole.map(Value::Int).unwrap_or_else(|| default.unwrap_or(Value::Int(0))))
}

fn float(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [default] = args.bind(["default"])?;
    let float = match &input {
        Value::Str(text) => float_number(text),
        other => other.as_float(),
    };
    Ok(float.map(Value::Float).unwrap_or_else(|| default.unwrap_or(Value::Float(0.0))))
}

fn round(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [precision, method] = args.bind(["precision", "method"])?;
    let precision = interp.arg_int_or(precision, "precision", 0)?.clamp(-300, 300) as i32;
    let method = interp.arg_text_or(method, "common")?;
    let float = number(&input)?;
    let scale = 10f64.powi(precision);
    Ok(match method.as_str() {
        "common" => match input.as_int() {
            Some(whole) if precision >= 0 => Value::Int(whole),
            Some(_) => Value::Int(((float * scale).round_ties_even() / scale) as i128),
            // The decimal digits of a float are exact here, so ties go to even as in Python.
            None if precision >= 0 => {
                let places = precision.unsigned_abs() as usize;
                Value::Float(format!("{float:.places$}").parse().unwrap_or(float))
            }
            None => Value::Float((float * scale).round_ties_even() / scale),
        },
        "ceil" => Value::Float((float * scale).ceil() / scale),
        "floor" => Value::Float((float * scale).floor() / scale),
        other => {
            return Err(TemplateError::failed(format!("rounds by common, ceil or floor, not `{other}`")));
        }
    })
}

fn pow(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [power] = args.bind(["y"])?;
    let power = required(power, "y")?;
    let result = value::binary(interp, BinaryOp::Power, &input, &power)?;
    // Ansible computes powers of floats.
    Ok(result.as_float().map_or(result, Value::Float))
}

fn log(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [base] = args.bind(["base"])?;
    let input = number(&input)?;
    if input <= 0.0 {
        return Err(TemplateError::failed(format!("only positive numbers have a logarithm, not {input}")));
    }
    let base = base.map(|base| number(&base)).transpose()?;
    Ok(Value::Float(match base {
        None => input.ln(),
        Some(10.0) => input.log10(),
        Some(2.0) => input.log2(),
        Some(base) => input.ln() / base.ln(),
    }))
}

fn root(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [base] = args.bind(["base"])?;
    let base = base.map_or(Ok(2.0), |base| number(&base))?;
    let input = number(&input)?;
    Ok(Value::Float(if base == 2.0 { input.sqrt() } else { input.powf(1.0 / base) }))
}

fn bool_filter(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(Value::Bool(to_bool(interp, &input)?.unwrap_or(false)))
}

/// What Ansible takes for true or false; nothing for any other word.
///
/// # Errors
/// When the value has no text.
pub(in super::super) fn to_bool(interp: &mut Interp<'_>, value: &Value) -> Result<Option<bool>> {
    if let Value::Bool(flag) = value {
        return Ok(Some(*flag));
    }
    if value.is_none() {
        return Ok(None);
    }
    Ok(match interp.text(value)?.trim().to_lowercase().as_str() {
        "yes" | "on" | "1" | "true" | "1.0" | "y" | "t" => Some(true),
        "no" | "off" | "0" | "false" | "0.0" | "n" | "f" => Some(false),
        _ => None,
    })
}

fn filesizeformat(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [binary] = args.bind(["binary"])?;
    let binary = interp.arg_flag(binary, false)?;
    let text = interp.text(&input)?;
    let bytes = float_number(&text).ok_or_else(|| TemplateError::failed(format!("wants a number, not `{text}`")))?;
    let (base, suffix) = if binary { (1024.0, "iB") } else { (1000.0, "B") };
    if bytes == 1.0 {
        return Ok(Value::str("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::str(format!("{} Bytes", bytes.trunc())));
    }
    let letters: &[&str] =
        if binary { &["K", "M", "G", "T", "P", "E", "Z", "Y"] } else { &["k", "M", "G", "T", "P", "E", "Z", "Y"] };
    let mut unit = base;
    for (at, letter) in letters.iter().enumerate() {
        if bytes < unit * base || at + 1 == letters.len() {
            return Ok(Value::str(format!("{:.1} {letter}{suffix}", bytes / unit)));
        }
        unit *= base;
    }
    Ok(Value::str(format!("{bytes} Bytes")))
}

/// The units of `human_readable`, each 1024 times the one before.
const UNITS: [char; 8] = ['K', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

fn human_readable(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [bits, unit] = args.bind(["isbits", "unit"])?;
    let base = if interp.arg_flag(bits, false)? { "bits" } else { "Bytes" };
    let wanted = unit.filter(|unit| !unit.is_none()).map(|unit| interp.text(&unit)).transpose()?;
    let size = number(&input)?;
    let found = UNITS.iter().enumerate().rev().find(|(at, letter)| match &wanted {
        Some(unit) => unit.to_uppercase().starts_with(**letter),
        None => size >= 1024f64.powi(*at as i32 + 1),
    });
    Ok(Value::str(match found {
        Some((at, letter)) => {
            let suffix = if base == "bits" { "b" } else { "B" };
            format!("{:.2} {letter}{suffix}", size / 1024f64.powi(at as i32 + 1))
        }
        None => format!("{size:.2} {base}"),
    }))
}

fn human_to_bytes(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [default_unit, bits] = args.bind(["default_unit", "isbits"])?;
    let bits = interp.arg_flag(bits, false)?;
    let text = interp.text(&input)?;
    let default_unit = interp.arg_text_or(default_unit, "")?;
    let refuse = || TemplateError::failed(format!("`{text}` is not a size such as `10M` or `2 GB`"));
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let amount: f64 = trimmed[..split].parse().map_err(|_| refuse())?;
    let unit = trimmed[split..].trim();
    let unit = if unit.is_empty() { default_unit.as_str() } else { unit };
    let wrong_class = |unit: &str| if bits { unit.ends_with('B') } else { unit.len() == 2 && unit.ends_with('b') };
    if wrong_class(unit) {
        return Err(TemplateError::failed(format!("`{unit}` is a unit of {}", if bits { "bytes" } else { "bits" })));
    }
    let factor = match unit.chars().next().map(|c| c.to_ascii_uppercase()) {
        None => 1.0,
        Some('B') if unit.len() == 1 || unit.eq_ignore_ascii_case("byte") || unit.eq_ignore_ascii_case("bytes") => 1.0,
        Some(letter) => {
            let at = UNITS.iter().position(|unit| *unit == letter).ok_or_else(refuse)?;
            1024f64.powi(at as i32 + 1)
        }
    };
    Ok(Value::Int((amount * factor).round() as i128))
}
