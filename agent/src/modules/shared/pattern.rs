//! Regular expressions as Ansible's modules take them: Python's dialect, on the bytes of a file.
//!
//! The engine is the `regex` crate: linear in time whatever a playbook asks for. What it can not do (look-around,
//! back references in a pattern) is refused with a message that says so.

use crate::modules::ModuleError;
use regex::bytes::{Captures, Regex, RegexBuilder};

/// Compiles a pattern written for Python.
///
/// # Errors
/// When it is no pattern, or one that only a backtracking engine can match.
pub(crate) fn compile(key: &str, pattern: &str, multi_line: bool) -> Result<Regex, ModuleError> {
    RegexBuilder::new(&translate(pattern)).multi_line(multi_line).build().map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = if last.contains("look-around") || last.contains("backreferences") {
            " (write it without look-around and back references, or use two tasks)"
        } else {
            ""
        };
        ModuleError::Invalid(format!("{key} {pattern:?} is not usable: {last}{hint}"))
    })
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
        ] {
            assert_eq!(compile("regexp", pattern, false).unwrap().is_match(text.as_bytes()), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_is_not_usable_is_named_with_the_reason() {
        let error = compile("regexp", "^(?!#)x", false).unwrap_err().to_string();
        assert!(error.starts_with("regexp \"^(?!#)x\" is not usable: look-around"), "{error}");
        let error = compile("regexp", "(", false).unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
    }

    #[test]
    fn replacements_are_filled_as_python_fills_them() {
        let pattern = compile("regexp", r"(?P<k>\w+)=(\w+)(!)?", false).unwrap();
        let captures = pattern.captures(b"key=value").unwrap();
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
