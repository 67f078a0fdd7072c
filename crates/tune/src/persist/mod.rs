//! What makes a value hold after a boot: files of `sysctl.d`, `tmpfiles.d`, drop-ins of a unit, and `/etc/fstab`.
//!
//! Files of one kind are read in the order in which their programs take them, so that a file of somebody else that wins
//! over kfleet's own is seen. kfleet writes one file of each kind, and of `/etc/fstab` only the field of options.

pub mod fstab;
pub mod sysctl;
pub mod tmpfiles;
pub mod unit;

use std::collections::BTreeMap;

/// The first line of every file that is kfleet's own.
pub(crate) const HEAD: &str = "# Written by kfleet's module os_tune. `state: absent` takes it away again.\n";

/// Where an item is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    /// A kernel parameter.
    Sysctl(String),
    /// A file below `/sys`, or a pattern of several.
    Tmpfiles(String),
    /// A key of the service's unit.
    Unit(&'static str),
    /// The options of a mount.
    Fstab(String),
    /// The lines of swap.
    FstabSwap,
}

/// A file of configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfFile {
    /// Where it lies.
    pub path: String,
    /// What it is sorted by; empty for a unit's own file, which every drop-in follows.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// The files that count of several folders, whose names are given from the folder that wins to the one that loses: a
/// name counts once, and all are sorted by their names (systemd's manuals: `sysctl.d`, `tmpfiles.d`, `systemd.unit`).
#[must_use]
pub fn in_order(folders: &[(String, Vec<String>)]) -> Vec<(String, String)> {
    let mut by_name: BTreeMap<&str, String> = BTreeMap::new();
    for (folder, names) in folders {
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            by_name.entry(name).or_insert_with(|| format!("{folder}/{name}"));
        }
    }
    by_name.into_iter().map(|(name, path)| (path, name.to_owned())).collect()
}

/// Settings of one kind over all its files.
pub(crate) struct Store<'a> {
    pub(crate) files: &'a [ConfFile],
    /// kfleet's own file.
    pub(crate) own: String,
    /// The last file with a key wins, or else the first.
    pub(crate) last_wins: bool,
    pub(crate) parse: fn(&str) -> BTreeMap<String, String>,
    pub(crate) render: fn(&BTreeMap<String, String>) -> String,
}

/// What another file than kfleet's says.
pub(crate) struct Elsewhere {
    pub(crate) value: String,
    pub(crate) path: String,
    /// It would win over kfleet's own file.
    pub(crate) wins: bool,
}

impl Store<'_> {
    fn name(&self) -> &str {
        self.own.rsplit('/').next().unwrap_or_default()
    }

    /// What kfleet's own file holds; none when there is none.
    pub(crate) fn own(&self) -> Option<BTreeMap<String, String>> {
        self.files.iter().find(|file| file.path == self.own).map(|file| (self.parse)(&file.text))
    }

    /// What the others say of a key.
    pub(crate) fn elsewhere(&self, key: &str) -> Option<Elsewhere> {
        let others = self.files.iter().filter(|file| file.path != self.own);
        let mut saying = others.filter_map(|file| Some((file, (self.parse)(&file.text).remove(key)?)));
        let (file, value) = if self.last_wins { saying.next_back() } else { saying.next() }?;
        let wins = if self.last_wins { file.name.as_str() > self.name() } else { file.name.as_str() < self.name() };
        Some(Elsewhere { value, path: file.path.clone(), wins })
    }

    /// The content that kfleet's own file has with these settings; none when there is nothing to say.
    pub(crate) fn content(&self, settings: &BTreeMap<String, String>) -> Option<String> {
        (!settings.is_empty()).then(|| format!("{HEAD}{}", (self.render)(settings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_once_and_names_are_the_order() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let folders = [
            ("/etc/x".to_owned(), names(&["99-b.conf", "10-a.conf", "README"])),
            ("/usr/lib/x".to_owned(), names(&["10-a.conf", "50-c.conf"])),
        ];
        let paths: Vec<String> = in_order(&folders).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/etc/x/10-a.conf", "/usr/lib/x/50-c.conf", "/etc/x/99-b.conf"]);
    }
}
