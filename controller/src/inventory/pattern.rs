//! Host patterns: `kafka:&rack_a:!kafka3`, `web*`, `~k\d+`, `kafka[0:1]`, and `@file` for a limit.
//!
//! Source of the rules: "Patterns" in Ansible's documentation. Unions come first, then intersections, then
//! exclusions, in whatever order they are written.

use super::{ALL, Inventory, LOCALHOST};
use indexmap::IndexSet;
use kfleet_model::HostName;
use kfleet_model::module::nearest;
use kfleet_playbook::source::Span;
use kfleet_playbook::{Code, Diagnostic, Diagnostics, Files};
use regex::Regex;

/// What a part of a pattern does to the hosts chosen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Add,
    Keep,
    Remove,
}

/// A pattern that was read.
#[derive(Debug, Clone)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    act: Act,
    text: String,
    span: Span,
    by: By,
    slice: Option<Slice>,
}

#[derive(Debug, Clone)]
enum By {
    /// A name without wildcards.
    Name,
    /// A regular expression on the names of groups and hosts.
    Regex(Regex),
}

/// `[2]`, `[0:2]`, `[1:]`, `[-1]`; both ends included.
#[derive(Debug, Clone, Copy)]
struct Slice {
    from: i64,
    to: Option<i64>,
}

/// The hosts that a pattern means.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The hosts, each once, in the order of pattern and inventory.
    pub hosts: Vec<HostName>,
    /// Names that mean nothing, wildcards that match nothing.
    pub diagnostics: Diagnostics,
}

impl Pattern {
    /// Reads a pattern that stands at a place.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, span: &Span) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let mut parts = Vec::new();
        for piece in split(text) {
            let place = span.find(piece, 0).unwrap_or_else(|| span.clone());
            match part(piece, &place) {
                Ok(part) => parts.push(part),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        if parts.is_empty() && diagnostics.is_empty() {
            diagnostics
                .push(Diagnostic::error(Code::Pattern, "the host pattern is empty").at(span).hint("write 'all'"));
        }
        if diagnostics.is_empty() { Ok(Self { parts }) } else { Err(diagnostics) }
    }

    /// Reads the pattern of `--limit`: `@file` stands for the patterns in a file, one on each line.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse_limit(text: &str, span: &Span, files: &dyn Files) -> Result<Self, Diagnostics> {
        let mut parts = Vec::new();
        let mut diagnostics = Diagnostics::new();
        for piece in split(text) {
            let place = span.find(piece, 0).unwrap_or_else(|| span.clone());
            let Some(path) = piece.strip_prefix('@') else {
                match part(piece, &place) {
                    Ok(part) => parts.push(part),
                    Err(diagnostic) => diagnostics.push(*diagnostic),
                }
                continue;
            };
            match limit_file(path, &place, files) {
                Ok(more) => parts.extend(more.parts),
                Err(more) => diagnostics.extend(more),
            }
        }
        if diagnostics.is_empty() { Ok(Self { parts }) } else { Err(diagnostics) }
    }
}

fn limit_file(path: &str, place: &Span, files: &dyn Files) -> Result<Pattern, Diagnostics> {
    let one = |diagnostic: Diagnostic| Diagnostics::from_iter([diagnostic]);
    let bytes =
        files.read(path).map_err(|error| one(Diagnostic::error(Code::MissingFile, error.to_string()).at(place)))?;
    let source = kfleet_playbook::yaml::source(path, bytes).map_err(|error| one(*error))?;
    let mut parts = Vec::new();
    let mut diagnostics = Diagnostics::new();
    for number in 1..=source.lines() {
        let line = source.line(number).trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let width = u32::try_from(line.chars().count()).unwrap_or(1);
        match Pattern::parse(line, &Span::on_line(&source, number, 1, width)) {
            Ok(pattern) => parts.extend(pattern.parts),
            Err(more) => diagnostics.extend(more),
        }
    }
    if diagnostics.is_empty() { Ok(Pattern { parts }) } else { Err(diagnostics) }
}

/// Splits at `,` or, where there is none, at `:` outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    // In a regular expression, a colon belongs to it.
    let separator = if text.contains(',') { ',' } else { ':' };
    let mut depth = 0usize;
    let mut start = 0;
    let mut in_regex = false;
    for (at, c) in text.char_indices() {
        if at == start {
            in_regex = text.get(at..).is_some_and(|rest| rest.trim_start_matches(['&', '!']).starts_with('~'));
        }
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 && (c == ',' || !in_regex) => {
                pieces.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn part(piece: &str, span: &Span) -> Result<Part, Box<Diagnostic>> {
    let wrong = |message: String| Box::new(Diagnostic::error(Code::Pattern, message).at(span));
    let (act, text) = match piece.chars().next() {
        Some('&') => (Act::Keep, piece.get(1..).unwrap_or_default()),
        Some('!') => (Act::Remove, piece.get(1..).unwrap_or_default()),
        Some(_) | None => (Act::Add, piece),
    };
    if text.is_empty() {
        return Err(wrong(format!("there is no name behind '{piece}'")));
    }
    let made = |text: &str, by, slice| Part { act, text: text.to_owned(), span: span.clone(), by, slice };
    if let Some(expression) = text.strip_prefix('~') {
        let regex = Regex::new(&format!("^(?:{expression})"))
            .map_err(|error| wrong(format!("'{expression}' is no regular expression: {}", last_line(&error))))?;
        return Ok(made(text, By::Regex(regex), None));
    }
    let (name, slice) = match slice_of(text) {
        Some((name, slice)) => (name, Some(slice)),
        None => (text, None),
    };
    if !name.contains(['*', '?', '[']) {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(Box::new(
                wrong(format!("'{name}' can not be the name of a host or a group"))
                    .hint("join names with ':', keep common hosts with '&', leave hosts out with '!'"),
            ));
        }
        return Ok(made(name, By::Name, slice));
    }
    let regex = Regex::new(&glob(name)).map_err(|_| wrong(format!("'{name}' is no pattern")))?;
    Ok(made(name, By::Regex(regex), slice))
}

fn last_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// A name and the slice behind it.
fn slice_of(text: &str) -> Option<(&str, Slice)> {
    let (name, slice) = text.strip_suffix(']')?.rsplit_once('[')?;
    let slice = match slice.split_once([':', '-']).filter(|(from, _)| !from.is_empty() || slice.starts_with(':')) {
        Some((from, to)) => Slice {
            from: if from.is_empty() { 0 } else { from.parse().ok()? },
            to: if to.is_empty() { None } else { Some(to.parse().ok()?) },
        },
        None => {
            let at = slice.parse().ok()?;
            Slice { from: at, to: Some(at) }
        }
    };
    (!name.is_empty()).then_some((name, slice))
}

impl Slice {
    fn apply(self, hosts: Vec<HostName>) -> Vec<HostName> {
        let count = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
        let index = |at: i64| if at < 0 { at + count } else { at };
        let (from, to) = (index(self.from), index(self.to.unwrap_or(count - 1)));
        hosts.into_iter().zip(0i64..).filter(|(_, at)| (from..=to).contains(at)).map(|(host, _)| host).collect()
    }
}

/// A pattern of a shell as a regular expression of the whole name.
fn glob(text: &str) -> String {
    let mut out = String::from("^");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                out.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    out.push('^');
                }
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    out
}

impl Inventory {
    /// The hosts that patterns mean together; a `limit` keeps those that it means, too.
    #[must_use]
    pub fn select(&self, patterns: &[Pattern], limit: Option<&Pattern>) -> Selection {
        let mut selection = Selection::default();
        let parts: Vec<&Part> = patterns.iter().flat_map(|pattern| &pattern.parts).collect();
        selection.hosts = self.choose(&parts, &mut selection.diagnostics);
        if let Some(limit) = limit {
            let parts: Vec<&Part> = limit.parts.iter().collect();
            let kept = self.choose(&parts, &mut selection.diagnostics);
            let kept: IndexSet<HostName> = kept.into_iter().collect();
            selection.hosts.retain(|host| kept.contains(host));
        }
        selection
    }

    fn choose(&self, parts: &[&Part], diagnostics: &mut Diagnostics) -> Vec<HostName> {
        let of = |act: Act| parts.iter().filter(move |part| part.act == act);
        let mut hosts: IndexSet<HostName> = IndexSet::new();
        if of(Act::Add).next().is_none() {
            hosts.extend(self.members(ALL));
        }
        for part in of(Act::Add) {
            hosts.extend(self.matching(part, diagnostics));
        }
        for part in of(Act::Keep) {
            let kept: IndexSet<HostName> = self.matching(part, diagnostics).into_iter().collect();
            hosts.retain(|host| kept.contains(host));
        }
        for part in of(Act::Remove) {
            let removed: IndexSet<HostName> = self.matching(part, diagnostics).into_iter().collect();
            hosts.retain(|host| !removed.contains(host));
        }
        hosts.into_iter().collect()
    }

    fn matching(&self, part: &Part, diagnostics: &mut Diagnostics) -> Vec<HostName> {
        let found = match &part.by {
            By::Name => self.named(&part.text),
            By::Regex(regex) => Some(self.like(regex)),
        };
        let hosts = match found {
            Some(hosts) => hosts,
            None => {
                diagnostics.push(self.unknown(part));
                return Vec::new();
            }
        };
        let hosts = part.slice.map_or(hosts.clone(), |slice| slice.apply(hosts));
        if hosts.is_empty() && part.act != Act::Remove {
            diagnostics.push(
                Diagnostic::warning(Code::UnknownHost, format!("'{}' matches no host", part.text)).at(&part.span),
            );
        }
        hosts
    }

    /// The hosts of a name: of the group, or the one host.
    fn named(&self, name: &str) -> Option<Vec<HostName>> {
        if name == ALL || self.groups.contains_key(name) {
            return Some(self.members(name));
        }
        let host = HostName::new(name).ok()?;
        (self.hosts.contains_key(&host) || name == LOCALHOST).then_some(vec![host])
    }

    fn like(&self, regex: &Regex) -> Vec<HostName> {
        let groups = self.groups.keys().filter(|name| regex.is_match(name)).flat_map(|name| self.members(name));
        let hosts = self.hosts.keys().filter(|name| regex.is_match(name.as_str())).cloned();
        groups.chain(hosts).collect::<IndexSet<HostName>>().into_iter().collect()
    }

    fn unknown(&self, part: &Part) -> Diagnostic {
        let known = self.groups.keys().map(String::as_str).chain(self.hosts.keys().map(HostName::as_str));
        let near = nearest(&part.text, known);
        let message = format!("no host and no group is named '{}'", part.text);
        // Leaving out what is not there changes nothing, but is most often a slip that leaves a host in.
        let diagnostic = Diagnostic::error(Code::UnknownHost, message).at(&part.span);
        match near {
            Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
            None if self.hosts.is_empty() => diagnostic.hint("the inventory has no hosts: name one with -i"),
            None => diagnostic.hint("`kfleet inventory` lists the groups and hosts"),
        }
    }
}
