//! How Python writes values as text.

use super::super::error::Result;
use super::super::eval::Interp;
use super::Value;

impl Interp<'_> {
    /// Python's `str(value)`.
    ///
    /// # Errors
    /// When the value, or something in it, is missing.
    pub(in super::super) fn text(&mut self, value: &Value) -> Result<String> {
        if let Value::Str(text) = value { Ok(text.to_string()) } else { self.repr(value) }
    }

    /// Python's `repr(value)`.
    ///
    /// # Errors
    /// When the value, or something in it, is missing.
    pub(in super::super) fn repr(&mut self, value: &Value) -> Result<String> {
        let mut out = String::new();
        self.write_repr(value, Tuples::Parentheses, &mut out)?;
        Ok(out)
    }

    /// The text of a value in a template's output: none and `omit` are empty, tuples read like the lists they become.
    ///
    /// # Errors
    /// When the value, or something in it, is missing.
    pub(in super::super) fn write_output(&mut self, value: &Value, out: &mut String) -> Result<()> {
        match value {
            Value::None | Value::Omit => Ok(()),
            Value::Str(text) => {
                out.push_str(text);
                Ok(())
            }
            other => self.write_repr(other, Tuples::Brackets, out),
        }
    }

    fn write_repr(&mut self, value: &Value, tuples: Tuples, out: &mut String) -> Result<()> {
        self.inside(|interp| interp.write_any(value, tuples, out))
    }

    fn write_any(&mut self, value: &Value, tuples: Tuples, out: &mut String) -> Result<()> {
        match value {
            Value::Str(text) => quote(text, out),
            Value::List(items) => {
                let items = items.borrow().clone();
                self.write_items(&items, ("[", "]"), tuples, out)?;
            }
            Value::Tuple(items) if tuples == Tuples::Brackets => self.write_items(items, ("[", "]"), tuples, out)?,
            Value::Tuple(items) => {
                self.write_items(items, ("(", if items.len() == 1 { ",)" } else { ")" }), tuples, out)?;
            }
            Value::Source(source) if !source.is_mapping() => {
                let items = self.items(value)?;
                self.write_items(&items, ("[", "]"), tuples, out)?;
            }
            Value::Dict(_) | Value::Source(_) => {
                out.push('{');
                for (at, (key, member)) in self.entries(value)?.into_iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    self.write_repr(&key.to_value(), tuples, out)?;
                    out.push_str(": ");
                    self.write_repr(&member, tuples, out)?;
                }
                out.push('}');
            }
            Value::Undefined(missing) => return Err(missing.error()),
            Value::Object(object) => match object.attr("__items__") {
                Some(items) => self.write_repr(&items, tuples, out)?,
                None => out.push_str(&object.text()),
            },
            Value::Omit | Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::DateTime(_) => {
                out.push_str(&plain(value));
            }
        }
        Ok(())
    }

    fn write_items(&mut self, items: &[Value], brackets: (&str, &str), tuples: Tuples, out: &mut String) -> Result<()> {
        out.push_str(brackets.0);
        for (at, item) in items.iter().enumerate() {
            out.push_str(if at > 0 { ", " } else { "" });
            self.write_repr(item, tuples, out)?;
        }
        out.push_str(brackets.1);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tuples {
    Parentheses,
    Brackets,
}

/// The text of a value without parts; a container is named by its type only.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(flag) => (if *flag { "True" } else { "False" }).to_owned(),
        Value::Int(whole) => whole.to_string(),
        Value::Float(float) => float_text(*float),
        Value::Omit => super::super::vars::OMIT.to_owned(),
        Value::DateTime(moment) => datetime_text(moment),
        Value::Str(text) => text.to_string(),
        other => other.type_name().to_owned(),
    }
}

pub(super) fn datetime_text(moment: &jiff::civil::DateTime) -> String {
    let text = moment.to_string().replacen('T', " ", 1);
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<6}"),
        None => text,
    }
}

/// A float as Python writes it: the shortest digits that read back the same, exponents outside 1e-4 to 1e16.
pub(in super::super) fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return (if float > 0.0 { "inf" } else { "-inf" }).to_owned();
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = float.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// A string in quotes with Python's escapes.
pub(in super::super) fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() && u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '\u{a0}' | '\u{ad}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_in_python() {
        let cases: &[(f64, &str)] = &[
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (1.5e300, "1.5e+300"),
            (0.0, "0.0"),
            (f64::INFINITY, "inf"),
        ];
        for (float, text) in cases {
            assert_eq!(float_text(*float), *text);
        }
    }

    #[test]
    fn strings_choose_the_quote_that_needs_no_escape() {
        for (text, quoted) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("a\"'b", "'a\"\\'b'"),
            ("l1\nl2\t\\", "'l1\\nl2\\t\\\\'"),
            ("\u{1b}é", "'\\x1bé'"),
        ] {
            let mut out = String::new();
            quote(text, &mut out);
            assert_eq!(out, quoted);
        }
    }
}
