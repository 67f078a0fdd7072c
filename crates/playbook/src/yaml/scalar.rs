//! Plain scalars by the rules of YAML 1.1, as Ansible's loader applies them.
//!
//! Source of the forms: <https://yaml.org/type/> (bool, int, float, null), without base 60, which only ever
//! surprises (`22:22`), and with `0o644` of YAML 1.2 added. Dates stay texts, which is what templates see of them.

use super::NodeKind;
use serde_json::Number;

/// The value of a scalar without quotes; nothing when it is a text.
#[must_use]
pub fn plain(text: &str) -> Option<NodeKind> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(NodeKind::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some(NodeKind::Bool(true)),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Some(NodeKind::Bool(false));
        }
        _ => {}
    }
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    integer(text).or_else(|| float(text)).map(NodeKind::Number)
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = if let Some(rest) = digits.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = digits.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    let starts_well = digits.starts_with(|c: char| c.is_digit(radix) || (c == '_' && radix != 10));
    if !starts_well || !digits.chars().all(|c| c == '_' || c.is_digit(radix)) {
        return None;
    }
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    let magnitude = u64::from_str_radix(&digits, radix).ok()?;
    if negative { 0i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

fn float(text: &str) -> Option<Number> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit() || c == '_');
    let starts_well = if whole.is_empty() {
        fraction.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit())
    };
    let exponent_is_right = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+']).is_some_and(|e| !e.is_empty() && e.chars().all(|c| c.is_ascii_digit()))
    });
    if !starts_well || !digits(whole) || !digits(fraction) || !exponent_is_right {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    Number::from_f64(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(text: &str) -> Value {
        match plain(text) {
            None => json!(text),
            Some(NodeKind::Null) => Value::Null,
            Some(NodeKind::Bool(b)) => json!(b),
            Some(NodeKind::Number(n)) => Value::Number(n),
            Some(other) => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn plain_scalars_are_read_by_yaml_1_1() {
        let cases = [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("oN", json!("oN")),
            ("~", json!(null)),
            ("nULL", json!("nULL")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("08", json!("08")),
            ("0", json!(0)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("_1", json!("_1")),
            ("-12", json!(-12)),
            ("+7", json!(7)),
            ("-", json!("-")),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!("18446744073709551616")),
            ("22:22", json!("22:22")),
            ("2001-12-14", json!("2001-12-14")),
            ("3.9", json!(3.9)),
            ("3.", json!(3.0)),
            (".5", json!(0.5)),
            ("-1.5e+3", json!(-1500.0)),
            ("1e3", json!("1e3")),
            ("1.5e3", json!("1.5e3")),
            ("3.9.1", json!("3.9.1")),
            (".", json!(".")),
            ("._1", json!("._1")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1.8.0_292", json!("1.8.0_292")),
        ];
        for (text, wanted) in cases {
            assert_eq!(value(text), wanted, "{text}");
        }
    }
}
