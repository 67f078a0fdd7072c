//! Python's two ways to format: `'%s' % value` and `'{}'.format(value)`.

use super::error::{Result, TemplateError};
use super::eval::{Args, Interp};
use super::methods::{Side, pad};
use super::value::{Value, float_text};

/// `template % value`; a tuple gives several values, a dict named ones.
///
/// # Errors
/// When values are missing, left over, or of the wrong type.
pub(super) fn percent(interp: &mut Interp<'_>, template: &str, value: &Value) -> Result<String> {
    let several = matches!(value, Value::Tuple(_));
    let mut values = if several { interp.items(value)? } else { vec![value.clone()] }.into_iter();
    let mut named = false;
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (spec, tail) = Spec::parse_percent(after)?;
        rest = tail;
        if spec.kind == '%' {
            out.push('%');
            continue;
        }
        let mut next = || values.next().ok_or_else(|| TemplateError::failed("has more `%` places than values"));
        let mut spec = spec;
        if spec.star_width {
            spec.width = interp.arg_count_or(Some(next()?), "width", 0)?;
        }
        if spec.star_precision {
            spec.precision = Some(interp.arg_count_or(Some(next()?), "precision", 0)?);
        }
        let value = match &spec.key {
            Some(key) => {
                named = true;
                let found = interp.item(value, &Value::str(key.as_str()))?;
                found.defined()?;
                found
            }
            None => next()?,
        };
        out.push_str(&spec.write_percent(interp, &value)?);
    }
    out.push_str(rest);
    if !named && values.next().is_some() && (several || !value.is_mapping()) {
        return Err(TemplateError::failed("has more values than `%` places"));
    }
    Ok(out)
}

/// One place in a template: what both notations have in common.
#[derive(Default)]
struct Spec {
    key: Option<String>,
    fill: Option<char>,
    align: Option<char>,
    plus: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    star_width: bool,
    grouping: Option<char>,
    precision: Option<usize>,
    star_precision: bool,
    kind: char,
}

/// A width or precision beyond this is a mistake.
const MAX_WIDTH: usize = 10_000;

fn number_prefix(text: &str) -> Result<(Option<usize>, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Ok((None, text));
    }
    let number: usize = text[..digits].parse().unwrap_or(usize::MAX);
    if number > MAX_WIDTH {
        return Err(TemplateError::failed(format!("a width of {} is too much", &text[..digits])));
    }
    Ok((Some(number), &text[digits..]))
}

impl Spec {
    fn parse_percent(text: &str) -> Result<(Self, &str)> {
        let mut spec = Self::default();
        let mut rest = text;
        if let Some(after) = rest.strip_prefix('(') {
            let (key, tail) =
                after.split_once(')').ok_or_else(|| TemplateError::failed("has `%(` without a closing `)`"))?;
            spec.key = Some(key.to_owned());
            rest = tail;
        }
        while let Some(c) = rest.chars().next().filter(|c| "#0- +".contains(*c)) {
            match c {
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                '-' => spec.align = Some('<'),
                sign => spec.plus = Some(sign),
            }
            rest = &rest[1..];
        }
        if let Some(tail) = rest.strip_prefix('*') {
            (spec.star_width, rest) = (true, tail);
        } else {
            let (width, tail) = number_prefix(rest)?;
            (spec.width, rest) = (width.unwrap_or(0), tail);
        }
        if let Some(tail) = rest.strip_prefix('.') {
            if let Some(tail) = tail.strip_prefix('*') {
                (spec.star_precision, rest) = (true, tail);
            } else {
                let (precision, tail) = number_prefix(tail)?;
                (spec.precision, rest) = (Some(precision.unwrap_or(0)), tail);
            }
        }
        rest = rest.trim_start_matches(['l', 'h', 'L']);
        let kind = rest.chars().next().ok_or_else(|| TemplateError::failed("ends in the middle of a `%` place"))?;
        spec.kind = kind;
        Ok((spec, &rest[kind.len_utf8()..]))
    }

    fn parse_format(text: &str) -> Result<Self> {
        let mut spec = Self::default();
        let mut rest = text;
        let is_align = |c: Option<char>| c.filter(|c| "<>^=".contains(*c));
        let mut chars = rest.chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, is_align(second)) {
            (spec.fill, spec.align) = (Some(fill), Some(align));
            rest = &rest[fill.len_utf8() + 1..];
        } else if let Some(align) = is_align(first) {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        if let Some(sign) = rest.chars().next().filter(|c| "+- ".contains(*c)) {
            spec.plus = (sign != '-').then_some(sign);
            rest = &rest[1..];
        }
        if let Some(tail) = rest.strip_prefix('#') {
            (spec.alternate, rest) = (true, tail);
        }
        if let Some(tail) = rest.strip_prefix('0') {
            (spec.zero, rest) = (true, tail);
        }
        let (width, tail) = number_prefix(rest)?;
        (spec.width, rest) = (width.unwrap_or(0), tail);
        if let Some(sign) = rest.chars().next().filter(|c| ",_".contains(*c)) {
            spec.grouping = Some(sign);
            rest = &rest[1..];
        }
        if let Some(tail) = rest.strip_prefix('.') {
            let (precision, tail) = number_prefix(tail)?;
            (spec.precision, rest) = (precision, tail);
        }
        let mut kinds = rest.chars();
        spec.kind = kinds.next().unwrap_or('\0');
        if kinds.next().is_some() {
            return Err(TemplateError::failed(format!("can not read the format `{text}`")));
        }
        Ok(spec)
    }

    fn write_percent(&self, interp: &mut Interp<'_>, value: &Value) -> Result<String> {
        match self.kind {
            's' | 'r' | 'a' => {
                let text = if self.kind == 's' { interp.text(value)? } else { interp.repr(value)? };
                let text = self.cut(&text);
                let side = if self.align == Some('<') { Side::Left } else { Side::Right };
                Ok(pad(&text, self.width, ' ', side))
            }
            'c' => match (value, value.as_int()) {
                (Value::Str(text), _) if text.chars().count() == 1 => Ok(text.to_string()),
                (_, Some(code)) => character(code),
                _ => Err(TemplateError::failed("`%c` wants one character")),
            },
            'd' | 'i' | 'u' => match value {
                Value::Float(float) => Ok(self.number(&Digits::whole(float.trunc() as i128))),
                other => match other.as_int() {
                    Some(whole) => Ok(self.number(&Digits::whole(whole))),
                    None => Err(TemplateError::failed(format!(
                        "`%{}` wants a number, not {}",
                        self.kind,
                        other.kind_text()
                    ))),
                },
            },
            _ => self.write_number(value, '%'),
        }
    }

    fn write_format(&self, interp: &mut Interp<'_>, value: &Value) -> Result<String> {
        let numeric = value.is_number() && !matches!(value, Value::Bool(_));
        match self.kind {
            '\0' | 's' if !numeric => {
                let text = interp.text(value)?;
                let text = self.cut(&text);
                let side = match self.align {
                    Some('>' | '=') => Side::Right,
                    Some('^') => Side::Both,
                    _ => Side::Left,
                };
                if side == Side::Both {
                    // `format` puts the odd blank behind the text.
                    let missing = self.width.saturating_sub(text.chars().count());
                    let left = pad(&text, text.chars().count() + missing / 2, self.fill.unwrap_or(' '), Side::Right);
                    return Ok(pad(&left, self.width, self.fill.unwrap_or(' '), Side::Left));
                }
                Ok(pad(&text, self.width, self.fill.unwrap_or(' '), side))
            }
            '\0' => match value {
                Value::Float(float) if self.precision.is_none() => Ok(self.number(&Digits::text(&float_text(*float)))),
                Value::Float(_) => Self { kind: 'g', ..self.copy() }.write_number(value, ':'),
                other => Ok(self.number(&Digits::whole(other.as_int().unwrap_or(0)))),
            },
            'c' => character(value.as_int().unwrap_or(-1)),
            'd' | 'n' => match value.as_int() {
                Some(whole) => Ok(self.number(&Digits::whole(whole))),
                None => Err(TemplateError::failed(format!("`:d` wants a whole number, not {}", value.kind_text()))),
            },
            _ => self.write_number(value, ':'),
        }
    }

    fn copy(&self) -> Self {
        Self { key: None, ..*self }
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        }
    }

    /// The kinds that both notations share: other bases and floats.
    fn write_number(&self, value: &Value, notation: char) -> Result<String> {
        let wrong = |wanted: &str| {
            TemplateError::failed(format!("`{notation}{}` wants {wanted}, not {}", self.kind, value.kind_text()))
        };
        if "xXob".contains(self.kind) && (self.kind != 'b' || notation == ':') {
            let whole = value.as_int().ok_or_else(|| wrong("a whole number"))?;
            let magnitude = whole.unsigned_abs();
            let (prefix, digits) = match self.kind {
                'x' => ("0x", format!("{magnitude:x}")),
                'X' => ("0X", format!("{magnitude:X}")),
                'o' => ("0o", format!("{magnitude:o}")),
                _ => ("0b", format!("{magnitude:b}")),
            };
            let prefix = if self.alternate { prefix } else { "" };
            return Ok(self.number(&Digits { negative: whole < 0, prefix: prefix.to_owned(), digits }));
        }
        let float = value.as_float().ok_or_else(|| wrong("a number"))?;
        let precision = self.precision.unwrap_or(6);
        let digits = match self.kind {
            'f' | 'F' => format!("{float:.precision$}"),
            'e' | 'E' => exponential(float, precision),
            'g' | 'G' => general(float, precision.max(1), self.alternate),
            '%' if notation == ':' => format!("{:.precision$}%", float * 100.0),
            other => return Err(TemplateError::failed(format!("there is no format `{notation}{other}`"))),
        };
        let digits = if self.kind.is_ascii_uppercase() { digits.to_uppercase() } else { digits };
        Ok(self.number(&Digits::text(&digits)))
    }

    /// Puts sign, prefix, grouping and filling around digits.
    fn number(&self, number: &Digits) -> String {
        let sign = match (number.negative, self.plus) {
            (true, _) => "-".to_owned(),
            (false, Some(sign)) => sign.to_string(),
            (false, None) => String::new(),
        };
        let digits = match self.grouping {
            Some(sign) => grouped(&number.digits, sign),
            None => number.digits.clone(),
        };
        let head = format!("{sign}{}", number.prefix);
        let fill = self.fill.unwrap_or(if self.zero && self.align.is_none() { '0' } else { ' ' });
        match self.align {
            Some('=') => format!("{head}{}", pad(&digits, self.width.saturating_sub(head.len()), fill, Side::Right)),
            None if self.zero => {
                format!("{head}{}", pad(&digits, self.width.saturating_sub(head.len()), fill, Side::Right))
            }
            Some('<') => pad(&format!("{head}{digits}"), self.width, fill, Side::Left),
            Some('^') => {
                let text = format!("{head}{digits}");
                let missing = self.width.saturating_sub(text.chars().count());
                let left = pad(&text, text.chars().count() + missing / 2, fill, Side::Right);
                pad(&left, self.width, fill, Side::Left)
            }
            _ => pad(&format!("{head}{digits}"), self.width, fill, Side::Right),
        }
    }
}

/// A number taken apart.
struct Digits {
    negative: bool,
    prefix: String,
    digits: String,
}

impl Digits {
    fn whole(number: i128) -> Self {
        Self { negative: number < 0, prefix: String::new(), digits: number.unsigned_abs().to_string() }
    }

    fn text(text: &str) -> Self {
        let digits = text.strip_prefix('-');
        Self { negative: digits.is_some(), prefix: String::new(), digits: digits.unwrap_or(text).to_owned() }
    }
}

fn character(code: i128) -> Result<String> {
    u32::try_from(code)
        .ok()
        .and_then(char::from_u32)
        .map(String::from)
        .ok_or_else(|| TemplateError::failed(format!("{code} is the code of no character")))
}

fn grouped(digits: &str, sign: char) -> String {
    let (whole, rest) = digits.split_at(digits.find(['.', 'e', '%']).unwrap_or(digits.len()));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(sign);
        }
        out.push(c);
    }
    out + rest
}

fn exponential(float: f64, precision: usize) -> String {
    let text = format!("{float:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn general(float: f64, precision: usize, keep_zeros: bool) -> String {
    if !float.is_finite() {
        return float_text(float);
    }
    let scientific = exponential(float, precision - 1);
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') && !keep_zeros {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..precision as i32).contains(&exponent) {
        let places = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
        trimmed(&format!("{float:.places$}"))
    } else {
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        format!("{}e{exponent}", trimmed(digits))
    }
}

/// `template.format(...)`.
///
/// # Errors
/// When a field names no argument, or a value does not go with its format.
pub(super) fn str_format(interp: &mut Interp<'_>, template: &str, args: Args) -> Result<String> {
    let mut out = String::with_capacity(template.len() + 16);
    let mut automatic = 0;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = (&rest[at..=at], &rest[at + 1..]);
        if let Some(tail) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = tail;
            continue;
        }
        if brace == "}" {
            return Err(TemplateError::failed("has a single `}`; write `}}` for the character itself"));
        }
        let end = field_end(after).ok_or_else(|| TemplateError::failed("has a `{` without `}`"))?;
        out.push_str(&field(interp, &after[..end], &args, &mut automatic)?);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn field_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.char_indices().find_map(|(at, c)| match c {
        '{' => {
            depth += 1;
            None
        }
        '}' if depth == 0 => Some(at),
        '}' => {
            depth -= 1;
            None
        }
        _ => None,
    })
}

fn field(interp: &mut Interp<'_>, text: &str, args: &Args, automatic: &mut usize) -> Result<String> {
    let (name, spec) = text.split_once(':').unwrap_or((text, ""));
    let (name, conversion) = name.split_once('!').map_or((name, None), |(name, kind)| (name, Some(kind)));
    let value = field_value(interp, name, args, automatic)?;
    let value = match conversion {
        Some("r" | "a") => Value::str(interp.repr(&value)?),
        Some("s") => Value::str(interp.text(&value)?),
        Some(other) => return Err(TemplateError::failed(format!("converts by !s or !r, not `!{other}`"))),
        None => value,
    };
    // A format may itself hold fields: `{:{width}}`.
    let spec = match spec.contains('{') {
        true => {
            let mut filled = String::new();
            let mut rest = spec;
            while let Some((before, after)) = rest.split_once('{') {
                let (inner, tail) = after.split_once('}').unwrap_or((after, ""));
                filled.push_str(before);
                let inner = field_value(interp, inner, args, automatic)?;
                filled.push_str(&interp.text(&inner)?);
                rest = tail;
            }
            filled + rest
        }
        false => spec.to_owned(),
    };
    Spec::parse_format(&spec)?.write_format(interp, &value)
}

fn field_value(interp: &mut Interp<'_>, name: &str, args: &Args, automatic: &mut usize) -> Result<Value> {
    let (first, path) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
    let index = match first {
        "" => {
            *automatic += 1;
            Some(*automatic - 1)
        }
        digits => digits.parse().ok(),
    };
    let found = match index {
        Some(index) => args.positional.get(index).cloned(),
        None => args.named.iter().find(|(known, _)| &**known == first).map(|(_, value)| value.clone()),
    };
    let mut value = found.ok_or_else(|| TemplateError::failed(format!("no argument for the field `{{{name}}}`")))?;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let step = step.trim_end_matches(']');
        value = match step.parse::<i128>() {
            Ok(index) => interp.item(&value, &Value::Int(index))?,
            Err(_) => interp.item(&value, &Value::str(step))?,
        };
    }
    value.defined()?;
    Ok(value)
}
