//! Java's properties files, as Kafka and ZooKeeper write their configuration.

use std::collections::BTreeMap;

/// Reads a properties file: comments, `=`, `:` or blanks between key and value, lines that go on, escapes.
/// The last of several values wins, as in Java.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while goes_on(&logical) {
            logical.pop();
            logical.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (key, value) = split(&logical);
        all.insert(key, value);
    }
    all
}

/// An odd number of backslashes at the end.
fn goes_on(line: &str) -> bool {
    line.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.char_indices().find(|&(_, c)| {
        let stop = !escaped && (c == '=' || c == ':' || c.is_whitespace());
        escaped = c == '\\' && !escaped;
        stop
    });
    let end = end.map_or(line.len(), |(at, _)| at);
    let rest = line[end..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescape(&line[..end]), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                out.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}'));
            }
            Some(c) => out.push(c),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let text = "# comment\n! comment\n\nlog.dirs=/a,/b\n  broker.id = 1  \nlisteners: PLAINTEXT://:9092\n\
                    key value\nempty=\nlong=one,\\\n    two\nback=C:\\\\x\nu=\\u00e4\nbroker.id=2\na\\=b=c\n";
        let all = parse(text);
        for (key, value) in [
            ("log.dirs", "/a,/b"),
            ("listeners", "PLAINTEXT://:9092"),
            ("key", "value"),
            ("empty", ""),
            ("long", "one,two"),
            ("back", "C:\\x"),
            ("u", "ä"),
            ("broker.id", "2"),
            ("a=b", "c"),
        ] {
            assert_eq!(all.get(key).map(String::as_str), Some(value), "{key}");
        }
    }
}
