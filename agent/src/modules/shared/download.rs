//! What modules that fetch files have in common: where the file goes, what it must hash to, and what is there.

use super::attributes::{Asked, Found};
use super::paths;
use crate::host::{Digest, FileKind, Host, HostView, Request};
use crate::modules::ModuleError;
use kfleet_model::module::{ParamDoc, ParamKind, param, text};
use kfleet_model::{Change, Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// The largest file that is fetched: a release archive has some 120 MB, an operating system's image some gigabytes.
const FILE_LIMIT: u64 = 8 << 30;

/// The largest file of checksums.
const SUMS_LIMIT: u64 = 1 << 20;

/// A checksum: its function and the sum in small hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) digest: Digest,
    pub(crate) sum: String,
}

impl Checksum {
    /// The sum, when it has the digits of its function.
    pub(crate) fn new(digest: Digest, sum: &str) -> Option<Self> {
        let right = sum.len() == digest.digits() && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        right.then(|| Self { digest, sum: sum.to_ascii_lowercase() })
    }

    fn name(&self) -> &'static str {
        Digest::NAMED.iter().find(|(_, digest)| *digest == self.digest).map_or("", |(name, _)| name)
    }
}

/// How something is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) headers: &'a Map,
    pub(crate) timeout_s: u64,
    pub(crate) ca_path: Option<&'a str>,
}

impl Means<'_> {
    fn request(&self, url: &str, limit: u64) -> Request {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), text(value).unwrap_or_default()));
        Request {
            url: url.to_owned(),
            headers: headers.collect(),
            timeout: Duration::from_secs(self.timeout_s.max(1)),
            authorities: self.ca_path.map(PathBuf::from),
            limit,
        }
    }
}

/// The parameters for these.
pub(crate) fn means_params() -> Vec<ParamDoc> {
    vec![
        param("headers", ParamKind::Dict, "Further headers, as those that let one in. Another host never gets them.")
            .secret(),
        param("timeout", ParamKind::Int, "Seconds to wait for a connection, an answer or the next byte.").default("10"),
        param(
            "ca_path",
            ParamKind::Path,
            "The authorities that may have signed the server's certificate, a PEM file on the host; the host's own.",
        ),
    ]
}

pub(crate) fn timeout() -> u64 {
    10
}

/// The checksum that a publisher has at a URL for the file of this name; none when there is no such text.
///
/// # Errors
/// When it can not be had, or does not name the file.
pub(crate) fn published(
    host: &dyn HostView,
    means: Means<'_>,
    url: &str,
    digest: Digest,
    name: &str,
) -> Result<Option<Checksum>, ModuleError> {
    let Some(bytes) = host.fetch_text(&means.request(url, SUMS_LIMIT))? else { return Ok(None) };
    let sums = String::from_utf8_lossy(&bytes);
    let sum = find_sum(&sums, digest, name).and_then(|sum| Checksum::new(digest, &sum));
    sum.map(Some).ok_or_else(|| ModuleError::Invalid(format!("{url} has no checksum of {name} that could be read")))
}

/// Finds a file's sum in the forms that publishers use: the sum alone, `SUM  NAME` of sha256sum, `SHA512 (NAME) = SUM` of
/// the BSDs, and `NAME: AB12 CD34 ...` over several lines of gpg.
fn find_sum(sums: &str, digest: Digest, name: &str) -> Option<String> {
    let is_sum = |word: &str| word.len() == digest.digits() && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().trim_start_matches('*').to_owned();
    for line in sums.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [sum, file] if is_sum(sum) && base(file) == name => return Some((*sum).to_owned()),
            [_, file, "=", sum] if is_sum(sum) && base(file.trim_matches(['(', ')'])) == name => {
                return Some((*sum).to_owned());
            }
            _ => {}
        }
    }
    if let Some((_, rest)) = sums.split_once(&format!("{name}:")) {
        let groups = rest.split_whitespace().take_while(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let sum: String = groups.collect();
        if is_sum(&sum) {
            return Some(sum);
        }
    }
    // Maven has the sum alone, sometimes with the path that it was made of behind it.
    let only = sums.split_whitespace().next().filter(|word| is_sum(word) && sums.trim().lines().count() == 1);
    only.filter(|_| sums.split_whitespace().count() == 1).map(ToOwned::to_owned)
}

/// The file's place: `dest`, or in it under its own name when that is a directory.
///
/// # Errors
/// When there is no directory for it, or it is neither.
pub(crate) fn place(host: &dyn HostView, dest: &str, name: &str) -> Result<PathBuf, ModuleError> {
    let path = paths::absolute(host, dest)?;
    let kind = host.stat(&path, true)?.map(|stat| stat.kind);
    if kind == Some(FileKind::Directory) {
        if name.is_empty() || matches!(name, "." | "..") || name.contains('/') {
            return Err(ModuleError::Invalid(format!("dest {dest} is a directory, and the URL names no file")));
        }
        return Ok(path.join(name));
    }
    if dest.ends_with('/') {
        return Err(ModuleError::Invalid(format!("the directory {dest} does not exist")));
    }
    Ok(path)
}

/// A file to fetch, beside what is there.
pub(crate) struct Wanted {
    pub(crate) url: String,
    pub(crate) path: PathBuf,
    pub(crate) found: Found,
    /// None when it is not known, or does not matter.
    pub(crate) checksum: Option<Checksum>,
    /// What the file that is there hashes to.
    pub(crate) now: Option<String>,
    /// Whether it is fetched.
    pub(crate) fetch: bool,
}

/// Looks at a file's place.
///
/// # Errors
/// When something else than a file is there.
pub(crate) fn look(
    host: &dyn HostView,
    url: &str,
    path: PathBuf,
    asked: Asked<'_>,
    checksum: Option<Checksum>,
) -> Result<Wanted, ModuleError> {
    let stat = host.stat(&path, true)?;
    if let Some(stat) = stat.as_ref().filter(|stat| stat.kind != FileKind::File) {
        return Err(ModuleError::Invalid(format!("{} is a {}, not a file", path.display(), stat.kind.word())));
    }
    let now = match &checksum {
        Some(checksum) => host.digest(&path, checksum.digest)?,
        None => None,
    };
    let fetch = stat.is_none() || checksum.as_ref().is_some_and(|wanted| now.as_ref() != Some(&wanted.sum));
    Ok(Wanted { url: url.to_owned(), found: asked.look(host, stat)?, path, checksum, now, fetch })
}

impl Wanted {
    /// The changes to the file and its attributes.
    ///
    /// # Errors
    /// When a mode can not be read.
    pub(crate) fn changes(&self, asked: Asked<'_>) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        if self.fetch {
            let name = self.checksum.as_ref().map_or("", Checksum::name);
            let from = match (&self.now, &self.found.stat) {
                (Some(sum), _) => format!("{name}:{sum}").into(),
                (None, Some(stat)) => format!("{} bytes", stat.size).into(),
                (None, None) => Value::Null,
            };
            let to = match &self.checksum {
                Some(checksum) => format!("{name}:{}", checksum.sum),
                None => "fetched".to_owned(),
            };
            changes.push(Change::new(self.path.display().to_string(), "content", from, to));
        }
        asked.differs(&self.path, &self.found, false, &mut changes)?;
        Ok(changes)
    }

    /// Fetches the file, or sets its attributes where the content is right.
    ///
    /// # Errors
    /// As [`Host::download`].
    pub(crate) fn install(
        &self,
        host: &dyn Host,
        means: Means<'_>,
        asked: Asked<'_>,
        backup: bool,
    ) -> Result<Map, ModuleError> {
        let mut applied = Map::new();
        let numbers = asked.numbers(&self.found, false)?;
        if !self.fetch {
            host.set_attributes(&self.path, numbers, true)?;
            return Ok(applied);
        }
        if let Some(folder) = self.path.parent()
            && host.stat(folder, true)?.is_none()
        {
            return Err(ModuleError::Invalid(format!("the directory {} does not exist", folder.display())));
        }
        if backup && self.found.stat.is_some() {
            let copy = host.backup(&self.path)?;
            applied.insert("backup_file".into(), copy.display().to_string().into());
        }
        let checksum = self.checksum.as_ref().map(|checksum| (checksum.digest, checksum.sum.as_str()));
        let size = host.download(&means.request(&self.url, FILE_LIMIT), &self.path, numbers, checksum)?;
        applied.insert("size".into(), size.into());
        Ok(applied)
    }

    /// The keys that every result has.
    pub(crate) fn describe(&self, data: &mut Map) {
        self.found.describe(data);
        data.insert("dest".into(), self.path.display().to_string().into());
        if let Some(checksum) = &self.checksum {
            data.insert("checksum".into(), format!("{}:{}", checksum.name(), checksum.sum).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sums_are_found_in_every_form() {
        let sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let grouped =
            "kafka.tgz: 01234567 89ABCDEF 01234567 89ABCDEF\n           01234567 89ABCDEF 01234567 89ABCDEF\n";
        for text in [
            format!("{sum}\n"),
            format!("{sum}  kafka.tgz\n"),
            format!("{sum} *kafka.tgz\n"),
            format!("{sum}  ./dist/kafka.tgz\n"),
            format!("{}  other.tgz\n{sum}  kafka.tgz\n", "f".repeat(64)),
            format!("SHA256 (kafka.tgz) = {sum}\n"),
            grouped.to_owned(),
        ] {
            let found = find_sum(&text, Digest::Sha256, "kafka.tgz").and_then(|s| Checksum::new(Digest::Sha256, &s));
            assert_eq!(found.map(|checksum| checksum.sum).as_deref(), Some(sum), "{text}");
        }
    }

    #[test]
    fn a_sum_of_another_file_or_another_function_is_not_taken() {
        let sum = "0".repeat(64);
        for text in [
            format!("{sum}  other.tgz\n"),
            format!("{sum}\n{sum}\n"),
            "0".repeat(40),
            "<html>not found</html>".to_owned(),
            format!("kafka.tgz: {}\n", &sum[..60]),
            String::new(),
        ] {
            assert_eq!(find_sum(&text, Digest::Sha256, "kafka.tgz"), None, "{text}");
        }
    }
}
