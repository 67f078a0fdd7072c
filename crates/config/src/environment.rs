//! Environment files: `KEY=value` lines, as systemd's `EnvironmentFile=` and a sourcing shell both read them.
//!
//! The lines that both read alike are edited: an optional `export`, a name, `=`, and a value in double, single or no
//! quotes. Values are written in double quotes with `"`, `\`, `$` and backquotes escaped, so neither expands anything
//! (systemd.exec(5), "EnvironmentFile="; POSIX shell, 2.2.3). All other lines stay as they are.

/// A file of that kind, kept to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    lines: Vec<String>,
}

/// Where a line's name and value stand.
struct Assignment<'a> {
    head: &'a str,
    name: &'a str,
    value: &'a str,
}

impl Environment {
    /// Cuts a text into lines.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { lines: text.split_inclusive('\n').map(str::to_owned).collect() }
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.lines.concat()
    }

    /// The names in their order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| assignment(line)).map(|found| found.name).collect()
    }

    /// The value of a name, without its quotes: of several the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let mut found = self.lines.iter().rev().filter_map(|line| assignment(line)).filter(|line| line.name == name);
        found.next().map(|line| unquote(line.value))
    }

    /// Gives a name a value, where its last line stands or at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        if self.get(name).as_deref() == Some(value) {
            return;
        }
        let is_it = |line: &String| assignment(line).is_some_and(|line| line.name == name);
        if let Some(line) = self.lines.iter_mut().rev().find(|line| is_it(line)) {
            let head = assignment(line).map(|found| found.head.to_owned()).unwrap_or_default();
            let end = if line.ends_with('\n') { "\n" } else { "" };
            *line = format!("{head}{name}={}{end}", quote(value));
            return;
        }
        if let Some(last) = self.lines.last_mut()
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        self.lines.push(format!("{name}={}\n", quote(value)));
    }

    /// Takes a name out, all of its lines.
    pub fn remove(&mut self, name: &str) {
        self.lines.retain(|line| assignment(line).is_none_or(|line| line.name != name));
    }

    /// Whether a text can be a name.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

fn assignment(line: &str) -> Option<Assignment<'_>> {
    let text = line.trim_end_matches(['\n', '\r']);
    let indent = text.len() - text.trim_start().len();
    let rest = text.get(indent..)?;
    let export = match rest.strip_prefix("export") {
        Some(after) if after.starts_with([' ', '\t']) => rest.len() - after.trim_start().len(),
        Some(_) | None => 0,
    };
    let head = text.get(..indent + export)?;
    let (name, value) = text.get(head.len()..)?.split_once('=')?;
    Environment::is_name(name).then_some(Assignment { head, name, value })
}

fn quote(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Takes quotes and escapes out. What a shell would expand stays as it is written.
fn unquote(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None) => out.extend(chars.next()),
            ('\\', Some('"')) => match chars.next_if(|next| matches!(next, '"' | '\\' | '$' | '`')) {
                Some(escaped) => out.push(escaped),
                None => out.push('\\'),
            },
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_in_every_kind_of_quotes() {
        let file = Environment::parse(
            "# JVM\nHEAP=-Xmx1g\nexport OPTS=\"-Da=\\\"b\\\" \\$HOME\"\nONE='a \\ b'\nif x; then\nHEAP=-Xmx2g",
        );
        for (name, wanted) in [
            ("HEAP", Some("-Xmx2g")),
            ("OPTS", Some("-Da=\"b\" $HOME")),
            ("ONE", Some("a \\ b")),
            ("if x", None),
            ("NONE", None),
        ] {
            assert_eq!(file.get(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn only_the_line_that_is_touched_changes() {
        let text = "# JVM\n  export HEAP=-Xmx1g\nX=1";
        let mut file = Environment::parse(text);
        file.set("X", "1");
        assert_eq!(file.to_text(), text);
        file.set("HEAP", "-Xmx2g -Xms2g");
        file.set("NEW", "a$b");
        file.remove("X");
        assert_eq!(file.to_text(), "# JVM\n  export HEAP=\"-Xmx2g -Xms2g\"\nNEW=\"a\\$b\"\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_that_is_set_is_read_again(text in "[A-B= '\"\\\\#\n]{0,30}", value in "[a-b '\"\\\\$`#=]{0,12}") {
            let mut file = Environment::parse(&text);
            prop_assert_eq!(file.to_text(), text);
            file.set("A", &value);
            prop_assert_eq!(Environment::parse(&file.to_text()).get("A"), Some(value));
        }
    }
}
