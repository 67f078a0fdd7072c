//! Lines of `tmpfiles.d` that write a kernel's file at boot. Of two files with one path the first by name is taken
//! (`tmpfiles.d`, "Configuration directories and precedence").

use std::collections::BTreeMap;

/// kfleet's own file; its name is to be the first.
pub const OWN: &str = "/etc/tmpfiles.d/00-kfleet.conf";

/// The folders, the one that wins first.
pub const FOLDERS: [&str; 4] =
    ["/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d"];

/// What a file's `w` lines write, by path; of two lines with one path the first.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (kind, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let argument: Vec<&str> = words.skip(4).collect();
        let writes = kind.strip_prefix('w').is_some_and(|signs| signs.chars().all(|sign| "!-^+=~$".contains(sign)));
        if writes && !argument.is_empty() {
            settings.entry(path.to_owned()).or_insert_with(|| argument.join(" "));
        }
    }
    settings
}

pub(crate) fn render(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(path, value)| format!("w {path} - - - - {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_write_count() {
        let text = "# w /sys/a - - - - x\nd /run/b 0755 root root -\nw /sys/kernel/mm/a - - - - madvise\n\
                    w! /sys/kernel/mm/a - - - - later\nw- /sys/c - - - - two words\nw /sys/d - - - -\n";
        let wanted = [("/sys/c", "two words"), ("/sys/kernel/mm/a", "madvise")];
        let wanted: BTreeMap<String, String> = wanted.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(parse(text), wanted);
        assert_eq!(parse(&render(&wanted)), wanted);
    }
}
