//! Arguments of a module: a mapping, `key=value` text, or free-form text.
//!
//! The rules of splitting are those of Ansible: blanks separate words, quotes and `{{ }}` keep them together.

use super::Loader;
use crate::catalogue::short;
use crate::diag::{Code, Diagnostic};
use crate::plan::Template;
use crate::source::Span;
use crate::yaml::{Entry, Node, NodeKind, is_template};

/// Arguments as far as they are known.
pub(super) struct Arguments {
    /// The mapping.
    pub(super) args: Node,
    /// A template that gives more of them.
    pub(super) from: Option<Template>,
}

/// Modules whose whole text is a command line; only the parameters below are taken out of it.
const COMMANDS: &[&str] = &["command", "shell", "script", "raw"];

/// What may stand as `key=value` in a command line.
const COMMAND_PARAMS: &[&str] = &[
    "creates",
    "removes",
    "chdir",
    "executable",
    "warn",
    "stdin",
    "stdin_add_newline",
    "strip_empty_ends",
    "expand_argument_vars",
];

impl Loader<'_> {
    /// Reads the value of a module's key, and `args:` beside it.
    pub(super) fn arguments(&mut self, module: &str, value: &Node, more: Option<&Entry>) -> Arguments {
        let mut from = None;
        let mut entries: Vec<Entry> = Vec::new();
        if let Some(more) = more {
            match &more.value.value {
                NodeKind::Null => {}
                NodeKind::Mapping(given) => entries.extend(given.iter().cloned()),
                NodeKind::Text(text) if is_template(&text.text) => {
                    from = Some(Template { text: text.text.clone(), span: more.value.span.clone() });
                }
                NodeKind::Bool(_)
                | NodeKind::Number(_)
                | NodeKind::Text(_)
                | NodeKind::List(_)
                | NodeKind::Vault(_) => self.wrong("args", "a mapping of arguments", &more.value),
            }
        }
        let own = match &value.value {
            NodeKind::Null => Vec::new(),
            NodeKind::Mapping(given) => given.clone(),
            NodeKind::Text(text) => match self.text_arguments(module, &text.text, &value.span) {
                Ok(own) => own,
                Err(template) => {
                    from = Some(template);
                    Vec::new()
                }
            },
            NodeKind::Bool(_) | NodeKind::Number(_) => {
                self.free_form(module, &value.scalar().unwrap_or_default(), &value.span)
            }
            NodeKind::List(_) | NodeKind::Vault(_) => {
                self.wrong(module, "a mapping of arguments", value);
                Vec::new()
            }
        };
        // The module's own arguments win over those of `args:`.
        for entry in own {
            match entries.iter_mut().find(|known| known.key == entry.key) {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        Arguments { args: Node { value: NodeKind::Mapping(entries), span: value.span.clone() }, from }
    }

    /// Arguments written as text; a text that is one template gives all arguments when it is rendered.
    fn text_arguments(&mut self, module: &str, text: &str, span: &Span) -> Result<Vec<Entry>, Template> {
        let text = text.trim();
        if COMMANDS.contains(&short(module)) {
            return Ok(self.command_line(module, text, span));
        }
        let mut words: Vec<&str> = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        for (start, end) in split_words(text) {
            let word = text.get(start..end).unwrap_or_default();
            match pair(word) {
                Some((key, value)) => {
                    let place = span.find(word, 0).unwrap_or_else(|| span.clone());
                    let key_span = place.find(&key, 0).unwrap_or_else(|| place.clone());
                    entries.push(Entry { key, key_span, value: Node::text(value, place) });
                }
                None => words.push(word),
            }
        }
        if !words.is_empty() {
            let free = words.join(" ");
            let takes = self.catalogue.get(module).is_none_or(|doc| doc.free_form.is_some());
            if !takes && entries.is_empty() && is_template(&free) {
                return Err(Template { text: free, span: span.clone() });
            }
            if !takes && entries.is_empty() {
                // As after a template, nobody can say now what else is missing.
                self.not_free_form(module, &free, span);
                return Err(Template { text: free, span: span.clone() });
            }
            if !takes && let Some(last) = entries.last() {
                self.cut_value(&last.key, &words, span);
                return Ok(entries);
            }
            entries.extend(self.free_form(module, &free, span));
        }
        Ok(entries)
    }

    /// A command line with the few parameters that may stand in it; the rest is kept to the letter.
    fn command_line(&mut self, module: &str, text: &str, span: &Span) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut line = String::new();
        let mut kept = 0;
        for (start, end) in split_words(text) {
            let word = text.get(start..end).unwrap_or_default();
            let Some((key, value)) = pair(word).filter(|(key, _)| COMMAND_PARAMS.contains(&key.as_str())) else {
                continue;
            };
            line.push_str(text.get(kept..start).unwrap_or_default());
            kept = end;
            let place = span.find(word, 0).unwrap_or_else(|| span.clone());
            entries.push(Entry { key, key_span: place.clone(), value: Node::text(value, place) });
        }
        line.push_str(text.get(kept..).unwrap_or_default());
        let line = if kept == 0 { text } else { line.trim() };
        if !line.is_empty() {
            entries.extend(self.free_form(module, line, span));
        }
        entries
    }

    /// Puts a free-form text under the parameter that takes it.
    fn free_form(&mut self, module: &str, text: &str, span: &Span) -> Vec<Entry> {
        let key = match self.catalogue.get(module) {
            // An unknown module is told elsewhere.
            None => "_raw_params".to_owned(),
            Some(doc) => match &doc.free_form {
                Some(key) => key.clone(),
                None => {
                    self.not_free_form(module, text, span);
                    return Vec::new();
                }
            },
        };
        vec![Entry { key, key_span: span.clone(), value: Node::text(text, span.clone()) }]
    }

    /// Words between or behind `key=value` are most often a value with blanks that is not in quotes.
    fn cut_value(&mut self, key: &str, words: &[&str], span: &Span) {
        let word = words.first().copied().unwrap_or_default();
        let place = span.find(word, 0).unwrap_or_else(|| span.clone());
        self.push(
            Diagnostic::error(Code::Parameter, format!("'{word}' belongs to no argument"))
                .at(&place)
                .hint(format!("a value with blanks must be in quotes: {key}=\"...\"")),
        );
    }

    fn not_free_form(&mut self, module: &str, text: &str, span: &Span) {
        let place = text.split_whitespace().next().and_then(|word| span.find(word, 0)).unwrap_or_else(|| span.clone());
        let example = self
            .catalogue
            .get(module)
            .and_then(|doc| doc.params.iter().find(|p| p.required).or_else(|| doc.params.first()))
            .map_or_else(String::new, |p| format!(", for example '{}: {text}'", p.name));
        self.push(
            Diagnostic::error(Code::Parameter, format!("module {module} takes named arguments, not a text"))
                .at(&place)
                .hint(format!("write its arguments below it{example}")),
        );
    }
}

/// Splits a text into its free words and its `key=value` pairs.
#[must_use]
pub fn words_and_pairs(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut words = Vec::new();
    let mut pairs = Vec::new();
    for (start, end) in split_words(text) {
        let word = text.get(start..end).unwrap_or_default();
        match pair(word) {
            Some(found) => pairs.push(found),
            None => words.push(word.to_owned()),
        }
    }
    (words, pairs)
}

/// `key=value` of one word, the value without its quotes and with its escapes resolved.
fn pair(word: &str) -> Option<(String, String)> {
    let (key, value) = word.split_once('=')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    is_key.then(|| (key.to_owned(), unescape(unquote(value))))
}

/// A text without the quotes around it.
fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if text.len() >= 2
            && let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
            && !inner.ends_with('\\')
        {
            return inner;
        }
    }
    text
}

/// Resolves the escapes that Ansible knows in such values: `\n`, `\t`, `\r`, `\xHH`, `\uHHHH`, `\\` and quotes.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let rest = chars.as_str();
        let code = |digits: usize| {
            let code = rest.get(1..=digits)?;
            u32::from_str_radix(code, 16).ok().and_then(char::from_u32).map(|c| (c, digits))
        };
        let (resolved, used) = match rest.chars().next() {
            Some('n') => (Some('\n'), 0),
            Some('t') => (Some('\t'), 0),
            Some('r') => (Some('\r'), 0),
            Some(c @ ('\\' | '"' | '\'')) => (Some(c), 0),
            Some('x') => code(2).map_or((None, 0), |(c, n)| (Some(c), n)),
            Some('u') => code(4).map_or((None, 0), |(c, n)| (Some(c), n)),
            Some(_) | None => (None, 0),
        };
        match resolved {
            Some(c) => {
                out.push(c);
                chars.nth(used);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// The byte ranges of the words of a text: blanks separate, quotes and template marks keep together.
#[must_use]
pub fn split_words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut start: Option<usize> = None;
    let mut quote: Option<char> = None;
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if let Some(open) = quote {
            if c == open {
                quote = None;
            }
        } else if ["{{", "{%", "{#"].iter().any(|mark| rest.starts_with(mark)) {
            depth += 1;
        } else if ["}}", "%}", "#}"].iter().any(|mark| rest.starts_with(mark)) {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && matches!(c, '"' | '\'') {
            quote = Some(c);
        } else if depth == 0 && c.is_whitespace() {
            if let Some(start) = start.take() {
                words.push((start, at));
            }
            continue;
        }
        start.get_or_insert(at);
    }
    words.extend(start.map(|start| (start, text.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_as_ansible_splits_them() {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let cases = [
            ("src=a dest=/b mode=0644", vec![], pairs(&[("src", "a"), ("dest", "/b"), ("mode", "0644")])),
            ("main.yml tags=a", vec!["main.yml"], pairs(&[("tags", "a")])),
            ("msg=\"two words\" x='it is'", vec![], pairs(&[("msg", "two words"), ("x", "it is")])),
            ("line=\"a=b c\"", vec![], pairs(&[("line", "a=b c")])),
            ("dest={{ a | default('x y') }}/b", vec![], pairs(&[("dest", "{{ a | default('x y') }}/b")])),
            ("{{ x == y }}", vec!["{{ x == y }}"], pairs(&[])),
            ("line='a\\tb\\n'", vec![], pairs(&[("line", "a\tb\n")])),
            ("line=a\\\\d+", vec![], pairs(&[("line", "a\\d+")])),
            ("regexp=^a\\s", vec![], pairs(&[("regexp", "^a\\s")])),
            ("x=\\u00e4\\x41", vec![], pairs(&[("x", "äA")])),
            ("echo \"a b\"", vec!["echo", "\"a b\""], pairs(&[])),
            ("", vec![], pairs(&[])),
        ];
        for (text, words, wanted) in cases {
            let (free, found) = words_and_pairs(text);
            assert_eq!(free, words, "{text}");
            assert_eq!(found, wanted, "{text}");
        }
    }
}
