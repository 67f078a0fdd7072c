//! Values of INI inventories: Python literals, and texts for everything else.
//!
//! Ansible evaluates what stands behind `=` as a Python literal and keeps it as a text when it is none; so `True` is
//! a boolean and `true` a text, `8` a number and `0644` a text.

use kfleet_model::{Map, Value};
use serde_json::Number;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// The value of a variable's text.
pub(super) fn value(text: &str) -> Value {
    literal(text).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The value of a text that is a literal from end to end.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim() };
    let value = reader.value(0)?;
    reader.rest.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, piece: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(piece) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip();
        match self.rest.chars().next()? {
            '[' => self.items("[", "]", depth).map(Value::Array),
            '(' => self.items("(", ")", depth).map(Value::Array),
            '{' => self.mapping(depth).map(Value::Object),
            quote @ ('\'' | '"') => self.text(quote).map(Value::String),
            _ => self.word(),
        }
    }

    fn items(&mut self, open: &str, close: &str, depth: usize) -> Option<Vec<Value>> {
        self.take(open);
        let mut items = Vec::new();
        let mut commas = 0;
        loop {
            if self.take(close) {
                // `(1)` is a number in brackets, only `(1,)` is a tuple.
                return (open == "[" || items.len() != 1 || commas > 0).then_some(items);
            }
            items.push(self.value(depth + 1)?);
            if self.take(",") {
                commas += 1;
            } else {
                self.skip();
                if !self.rest.starts_with(close) {
                    return None;
                }
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Option<Map> {
        self.take("{");
        let mut map = Map::new();
        loop {
            if self.take("}") {
                return Some(map);
            }
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                key @ (Value::Number(_) | Value::Bool(_)) => key.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            if !self.take(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            if !self.take(",") {
                self.skip();
                if !self.rest.starts_with('}') {
                    return None;
                }
            }
        }
    }

    fn text(&mut self, quote: char) -> Option<String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c if c == quote => {
                    self.rest = self.rest.get(at + c.len_utf8()..)?;
                    return Some(out);
                }
                '\n' => return None,
                c => out.push(c),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ']', '}', ')', ':']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word.trim() {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            word => Value::Number(number(word)?),
        };
        self.rest = rest;
        Some(value)
    }
}

fn number(word: &str) -> Option<Number> {
    let body = word.strip_prefix(['-', '+']).unwrap_or(word);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') || body.ends_with('_') || body.contains("__") {
        return None;
    }
    let plain: String = word.trim_start_matches('+').chars().filter(|c| *c != '_').collect();
    let negative = plain.starts_with('-');
    let digits = plain.trim_start_matches('-');
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            let magnitude = i64::from_str_radix(digits, radix).ok()?;
            return Some(if negative { -magnitude } else { magnitude }.into());
        }
    }
    // Python refuses a zero in front of a number, which keeps `0644` a text.
    let is_whole = digits.chars().all(|c| c.is_ascii_digit());
    if is_whole && digits.len() > 1 && digits.starts_with('0') {
        return digits.chars().all(|c| c == '0').then(|| 0.into());
    }
    if is_whole {
        return plain.parse::<i64>().map(Number::from).or_else(|_| plain.parse::<u64>().map(Number::from)).ok();
    }
    let is_float = digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if is_float { plain.parse().ok().and_then(Number::from_f64) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The expected values are those of Python's `ast.literal_eval`, or the text where that refuses.
    #[test]
    fn values_are_python_literals_or_texts() {
        let cases = [
            ("8", json!(8)),
            ("-8", json!(-8)),
            ("0644", json!("0644")),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("True", json!(true)),
            ("true", json!("true")),
            ("yes", json!("yes")),
            ("None", json!(null)),
            ("'8'", json!("8")),
            ("\"a b\"", json!("a b")),
            ("'a' b", json!("'a' b")),
            ("[1, 'a', [True]]", json!([1, "a", [true]])),
            ("[1, 2,]", json!([1, 2])),
            ("(1, 2)", json!([1, 2])),
            ("(1)", json!("(1)")),
            ("{'a': 1, \"b\": [2]}", json!({"a": 1, "b": [2]})),
            ("{a: 1}", json!("{a: 1}")),
            ("[a, b]", json!("[a, b]")),
            ("", json!("")),
            ("-Xmx1g -Dx=y", json!("-Xmx1g -Dx=y")),
            ("'a\\nb'", json!("a\nb")),
            ("{{ x }}", json!("{{ x }}")),
        ];
        for (text, wanted) in cases {
            assert_eq!(value(text), wanted, "{text}");
        }
        assert_eq!(literal(&"[".repeat(10_000)), None);
    }
}
