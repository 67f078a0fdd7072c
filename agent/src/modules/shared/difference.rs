//! Differences of texts, for `--diff`.

use kfleet_model::Change;
use similar::TextDiff;
use std::path::Path;

/// Texts over this size get no textual difference: nobody reads it, and finding it costs more than the task.
const LIMIT: usize = 128 * 1024;

/// How large an old content may be to be read for its difference.
pub(crate) const READ_LIMIT: u64 = LIMIT as u64;

/// A unified difference of two texts; none when one is binary or too large.
pub(crate) fn unified(path: &Path, old: &[u8], new: &[u8]) -> Option<String> {
    if old.len() > LIMIT || new.len() > LIMIT || old.contains(&0) || new.contains(&0) {
        return None;
    }
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let name = path.display();
    let text = TextDiff::from_lines(old.as_ref(), new.as_ref())
        .unified_diff()
        .context_radius(3)
        .header(&format!("before: {name}"), &format!("after: {name}"))
        .to_string();
    Some(text)
}

/// The change of a file's content, with its difference where one can be shown.
pub(crate) fn content(path: &Path, old: Option<&[u8]>, new: &[u8]) -> Change {
    let hash = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
    let from = old.map_or(kfleet_model::Value::Null, |old| hash(old).into());
    let change = Change::new(path.display().to_string(), "content", from, hash(new));
    match unified(path, old.unwrap_or_default(), new) {
        Some(text) => change.with_diff(text),
        None => change,
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    crate::host::hex(&sha2::Sha256::digest(bytes))
}

/// SHA-1 in hex: what Ansible's results call `checksum`.
pub(crate) fn sha1(bytes: &[u8]) -> String {
    use sha1::Digest;
    crate::host::hex(&sha1::Sha1::digest(bytes))
}
