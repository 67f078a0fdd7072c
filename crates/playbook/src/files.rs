//! The door to files: this crate reads none by itself.
//!
//! Purpose: the caller gives an implementation (a folder, a test's map); paths are passed as they are written,
//! joined with `/` to the folder of the file that names them.
//! Not here: any reading of a disk.

use std::collections::BTreeMap;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is nothing at the path.
    #[error("there is no file {path}")]
    Missing {
        /// The path.
        path: String,
    },
    /// It is there and can not be read.
    #[error("{path} can not be read: {why}")]
    Unreadable {
        /// The path.
        path: String,
        /// The system's words.
        why: String,
    },
}

/// Files as the caller gives them.
pub trait Files {
    /// The whole content of a file.
    ///
    /// # Errors
    /// When it is missing or can not be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;

    /// What stands at the path, links followed.
    fn kind(&self, path: &str) -> Option<FileKind>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// When it is missing or can not be read.
    fn list_dir(&self, path: &str) -> Result<Vec<String>, FileError>;

    /// There is a file (and not a folder) at the path.
    fn is_file(&self, path: &str) -> bool {
        self.kind(path) == Some(FileKind::File)
    }

    /// There is a folder at the path.
    fn is_folder(&self, path: &str) -> bool {
        self.kind(path) == Some(FileKind::Folder)
    }
}

/// Files in memory: for tests, and for playbooks that are built into a program.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// Takes pairs of path and content.
    pub fn new<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Self {
        Self { files: files.into_iter().map(|(path, content)| (clean(&path.into()), content.into())).collect() }
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(clean(path), content.into());
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.files.get(&clean(path)).cloned().ok_or_else(|| FileError::Missing { path: path.to_owned() })
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        let path = clean(path);
        if self.files.contains_key(&path) {
            return Some(FileKind::File);
        }
        let folder = if path == "." { String::new() } else { format!("{path}/") };
        self.files.keys().any(|name| name.starts_with(&folder)).then_some(FileKind::Folder)
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, FileError> {
        if self.kind(path) != Some(FileKind::Folder) {
            return Err(FileError::Missing { path: path.to_owned() });
        }
        let path = clean(path);
        let folder = if path == "." { String::new() } else { format!("{path}/") };
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|name| name.strip_prefix(&folder))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        Ok(names)
    }
}

/// Removes `.` and resolves `..` in a path, by the text alone; an empty path becomes `.`.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// A path as named in a file of `folder`: an absolute one stays, any other is joined to it.
#[must_use]
pub fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') || folder.is_empty() || folder == "." {
        clean(path)
    } else {
        clean(&format!("{folder}/{path}"))
    }
}

/// The folder of a file; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
        None => ".".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        let cases = [
            ("a/./b//c", "a/b/c"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("", "."),
            ("a/..", "."),
        ];
        for (given, wanted) in cases {
            assert_eq!(clean(given), wanted, "{given}");
        }
        assert_eq!(join("roles/kafka/tasks", "../files/x"), "roles/kafka/files/x");
        assert_eq!(join("roles", "/etc/x"), "/etc/x");
        assert_eq!(folder_of("site.yml"), ".");
        assert_eq!(folder_of("/site.yml"), "/");
    }

    #[test]
    fn memory_files_have_folders_too() {
        let files = MemoryFiles::new([("roles/a/tasks/main.yml", ""), ("roles/b/x", ""), ("site.yml", "- x")]);
        assert!(files.is_folder("roles/a"));
        assert!(files.is_file("./site.yml"));
        assert_eq!(files.list_dir("roles"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(files.list_dir("."), Ok(vec!["roles".to_owned(), "site.yml".to_owned()]));
        assert!(files.read("nosuch").is_err());
    }
}
