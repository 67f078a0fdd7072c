//! Regular expressions as Ansible's modules take them: Python's dialect, on the bytes of a file.
//!
//! The engine is the one that the controller's filters use. A pattern without look-around and back references takes
//! linear time; one with them may need more steps than the engine allows, which is an error and never "no match".

use crate::modules::ModuleError;
use fancy_regex::{BytesMode, RegexBuilder};

/// What a pattern found in a file.
pub(crate) type Captures<'t> = fancy_regex::Captures<'t, [u8]>;

/// A pattern with the name of the parameter that it came from.
#[derive(Debug)]
pub(crate) struct Pattern {
    key: &'static str,
    regex: fancy_regex::Regex,
}

impl Pattern {
    /// Compiles a pattern written for Python.
    ///
    /// # Errors
    /// When it is no pattern.
    pub(crate) fn new(key: &'static str, pattern: &str, multi_line: bool) -> Result<Self, ModuleError> {
        let mut builder = RegexBuilder::new(&translate(pattern));
        builder.multi_line(multi_line).bytes_mode(BytesMode::UnicodeBytes);
        match builder.build() {
            Ok(regex) => Ok(Self { key, regex }),
            Err(error) => Err(ModuleError::Invalid(format!("{key} {pattern:?} is not usable: {}", last_line(&error)))),
        }
    }

    fn failed(&self, error: &fancy_regex::Error) -> ModuleError {
        ModuleError::Invalid(format!("{} could not be matched: {}", self.key, last_line(error)))
    }

    /// Whether it finds anything.
    ///
    /// # Errors
    /// When it takes more steps than are allowed.
    pub(crate) fn is_match(&self, text: &[u8]) -> Result<bool, ModuleError> {
        self.regex.is_match(text).map_err(|error| self.failed(&error))
    }

    /// The first thing that it finds.
    ///
    /// # Errors
    /// As [`Pattern::is_match`].
    pub(crate) fn captures<'t>(&self, text: &'t [u8]) -> Result<Option<Captures<'t>>, ModuleError> {
        self.regex.captures(text).map_err(|error| self.failed(&error))
    }

    /// Everything that it finds, from left to right.
    ///
    /// # Errors
    /// As [`Pattern::is_match`].
    pub(crate) fn all<'t>(&self, text: &'t [u8]) -> Result<Vec<Captures<'t>>, ModuleError> {
        self.regex.captures_iter(text).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }

    /// The names of its groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }
}

/// The engine draws the pattern with a mark under the fault; the sentence stands in the last line.
fn last_line(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Python's spellings that the engine writes differently.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Z') => out.push_str("\\z"),
                // Python takes a backslash before any punctuation as that character.
                Some(c) if c.is_ascii_punctuation() || c == ' ' => out.push_str(&regex::escape(&c.to_string())),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                // A bracket or a caret right after the opening stands for itself.
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            // The engine has set operations inside classes, Python has not.
            '[' => out.push_str("\\["),
            '&' | '~' if class => out.extend(['\\', c]),
            ']' if class => {
                class = false;
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

/// Fills a Python replacement text: `\1`, `\g<1>`, `\g<name>`, `\n`, `\t`, `\\`.
///
/// # Errors
/// When a group is named that the pattern does not have.
pub(crate) fn expand(template: &str, captures: &Captures<'_>, into: &mut Vec<u8>) -> Result<(), ModuleError> {
    let missing = |name: &str| {
        ModuleError::Invalid(format!("replacement {template:?} names group {name}, which the pattern lacks"))
    };
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        into.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits > 0 && !rest.starts_with('0') {
            let number: usize = rest[..digits].parse().unwrap_or(usize::MAX);
            if number >= captures.len() {
                return Err(missing(&rest[..digits]));
            }
            into.extend(captures.get(number).map(|m| m.as_bytes()).unwrap_or_default());
            rest = &rest[digits..];
        } else if let Some((name, tail)) = rest.strip_prefix("g<").and_then(|rest| rest.split_once('>')) {
            let group = match name.parse::<usize>() {
                Ok(number) if number < captures.len() => captures.get(number),
                Ok(_) => return Err(missing(name)),
                Err(_) => Some(captures.name(name).ok_or_else(|| missing(name))?),
            };
            into.extend(group.map(|m| m.as_bytes()).unwrap_or_default());
            rest = tail;
        } else {
            let Some(c) = rest.chars().next() else {
                into.push(b'\\');
                break;
            };
            match c {
                'n' => into.push(b'\n'),
                't' => into.push(b'\t'),
                'r' => into.push(b'\r'),
                '\\' => into.push(b'\\'),
                c if c.is_ascii_alphanumeric() => into.extend([b'\\', c as u8]),
                c => into.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    into.extend_from_slice(rest.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, text: &str) -> bool {
        Pattern::new("regexp", pattern, false).unwrap().is_match(text.as_bytes()).unwrap()
    }

    #[test]
    fn python_spellings_match_what_they_match_in_python() {
        for (pattern, text, wanted) in [
            (r"^foo\Z", "foo", true),
            (r"^#?\s*log\.dirs\s*=", "# log.dirs =/a", true),
            (r"a\/b\-c\@d\'e\ f\:g\<\=", "a/b-c@d'e f:g<=", true),
            (r"[]a]+x", "]ax", true),
            (r"[^]]x", "ax", true),
            (r"[a&&b]{3}", "a&b", true),
            (r"(?P<key>\w+)=", "abc=", true),
            (r"[[:]x", "[x", true),
            (r"^(?!#)x", "x", true),
            (r"^(?!#).*x", "#x", false),
            (r"(?<=a)b", "ab", true),
            (r"(.)\1", "abb", true),
            (r"(?P<q>['\x22]).*(?P=q)", "'x'", true),
        ] {
            assert_eq!(finds(pattern, text), wanted, "{pattern}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_around() {
        let pattern = Pattern::new("regexp", "^key=(.*)$", true).unwrap();
        let text = b"\xff\xfe\nkey=value\n\x80";
        assert_eq!(pattern.captures(text).unwrap().unwrap().get(1).unwrap().as_bytes(), b"value");
    }

    #[test]
    fn a_pattern_that_is_not_usable_is_named_with_the_reason() {
        let error = Pattern::new("regexp", "(", false).unwrap_err().to_string();
        assert!(error.starts_with("regexp \"(\" is not usable: "), "{error}");
    }

    #[test]
    fn a_pattern_that_takes_too_many_steps_is_an_error_and_not_no_match() {
        let pattern = Pattern::new("regexp", r"^(?=(a+)+$)(a|aa)+\1b$", false).unwrap();
        let error = pattern.is_match("a".repeat(60).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("regexp could not be matched: "), "{error}");
    }

    #[test]
    fn replacements_are_filled_as_python_fills_them() {
        let pattern = Pattern::new("regexp", r"(?P<k>\w+)=(\w+)(!)?", false).unwrap();
        let captures = pattern.captures(b"key=value").unwrap().unwrap();
        for (template, wanted) in [
            (r"\2=\1", "value=key"),
            (r"\g<k>:\g<2>0", "key:value0"),
            (r"a\tb\n\\", "a\tb\n\\"),
            (r"[\3]", "[]"),
            ("$1", "$1"),
            (r"\.", "."),
        ] {
            let mut got = Vec::new();
            expand(template, &captures, &mut got).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), wanted, "{template}");
        }
        assert!(expand(r"\7", &captures, &mut Vec::new()).is_err());
        assert!(expand(r"\g<none>", &captures, &mut Vec::new()).is_err());
    }
}
