//! The versions of managed files, and how two of them differ.

use super::{CollectError, parse};
use crate::host::HostView;
use crate::modules::unified_difference;
use kfleet_config::secret;
use kfleet_model::Map;
use kfleet_model::version::{Difference, FileHistory, FileReport, FileVersion, NoWayBack, Shown};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is there now is compared like a version; those are not larger.
const LIMIT: u64 = 1024 * 1024;

/// Its parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    paths: Option<Vec<PathBuf>>,
    /// Compare versions too.
    diff: bool,
    from: Option<u64>,
    to: Option<u64>,
}

/// The past of the files named by `paths`, or of all that have one. With `diff`, each comes with the difference from version
/// `from` to version `to`; without them, of what the last change did, or of what was done to the file behind its back.
///
/// # Errors
/// When it can not be read, or a version is not kept.
pub fn file_versions(host: &dyn HostView, params: &Map) -> Result<Vec<FileReport>, CollectError> {
    let params: Params = parse(params)?;
    let paths = match &params.paths {
        Some(paths) => paths.clone(),
        None => host.versioned_files()?,
    };
    let mut reports = Vec::new();
    for path in paths {
        let Some(history) = host.file_history(&path)? else { continue };
        let difference = if params.diff { difference(host, &history, &params)? } else { None };
        reports.push(FileReport { history, difference });
    }
    Ok(reports)
}

fn difference(host: &dyn HostView, history: &FileHistory, params: &Params) -> Result<Option<Difference>, CollectError> {
    let refused = |error: NoWayBack| CollectError::Invalid(format!("{}: {error}", history.path.display()));
    let newest_two = || {
        let skip = usize::from(history.current().is_some());
        history.versions.iter().rev().nth(skip)
    };
    let from = match params.from {
        Some(number) => Some(history.version(number).map_err(refused)?),
        None => newest_two(),
    };
    let Some(from) = from else { return Ok(None) };
    let old = host.read_version(&history.path, from)?;
    let (new, secret) = match params.to {
        Some(number) => {
            let to = history.version(number).map_err(refused)?;
            (host.read_version(&history.path, to)?, to.secret)
        }
        None => (now(host, history)?, history.versions.last().is_some_and(|last| last.secret)),
    };
    let shown = shown_difference(&history.path, &old, &new, from.secret || secret);
    Ok(Some(Difference { from: from.number, to: params.to, shown }))
}

fn now(host: &dyn HostView, history: &FileHistory) -> Result<Vec<u8>, CollectError> {
    let current: Option<&FileVersion> = history.current();
    match current {
        Some(version) => Ok(host.read_version(&history.path, version)?),
        None => Ok(host.read(&history.path, LIMIT)?.unwrap_or_default()),
    }
}

/// What people may see of a difference.
pub fn shown_difference(path: &Path, old: &[u8], new: &[u8], secret: bool) -> Shown {
    if old == new {
        return Shown::Same;
    }
    if secret {
        return Shown::Hidden;
    }
    let mask = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(secret::masked);
    let (Some(old), Some(new)) = (mask(old), mask(new)) else { return Shown::NoText };
    if old == new {
        return Shown::OnlySecrets;
    }
    unified_difference(path, old.as_bytes(), new.as_bytes()).map_or(Shown::NoText, Shown::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{FakeHost, Spec};
    use crate::host::{Attributes, Content, Host};
    use serde_json::json;

    const PATH: &str = "/etc/server.properties";

    fn host() -> FakeHost {
        let host = FakeHost::new(&Spec::default());
        host.make_dir(Path::new("/etc"), Attributes::default()).unwrap();
        for text in ["a=1\n", "a=2\nssl.key.password=x\n", "a=2\nssl.key.password=y\n"] {
            host.write(Path::new(PATH), Content::Bytes(text.as_bytes()), Attributes::default()).unwrap();
        }
        host
    }

    fn shown(host: &FakeHost, params: serde_json::Value) -> Result<Option<Difference>, String> {
        let reports = file_versions(host, params.as_object().unwrap()).map_err(|error| error.to_string())?;
        Ok(reports.into_iter().next().and_then(|report| report.difference))
    }

    #[test]
    fn versions_are_compared_and_secrets_are_not_shown() {
        let host = host();
        let found = shown(&host, json!({"diff": true, "from": 2, "to": 3})).unwrap().unwrap();
        let Shown::Text(text) = found.shown else { panic!("{found:?}") };
        assert!(text.contains("-a=1\n+a=2\n+ssl.key.password=********\n"), "{text}");
        let last = shown(&host, json!({"diff": true})).unwrap().unwrap();
        assert_eq!(last, Difference { from: 3, to: None, shown: Shown::OnlySecrets });
        assert_eq!(shown(&host, json!({"paths": [PATH]})).unwrap(), None);
        assert!(file_versions(&host, json!({"paths": ["/else"]}).as_object().unwrap()).unwrap().is_empty());
        let error = shown(&host, json!({"diff": true, "from": 9})).unwrap_err();
        assert_eq!(error, format!("{PATH}: version 9 is not kept, only 1 to 4"));
        assert_eq!(shown_difference(Path::new(PATH), b"a", b"b", true), Shown::Hidden);
        assert_eq!(shown_difference(Path::new(PATH), b"a", b"\xff", false), Shown::NoText);
        assert_eq!(shown_difference(Path::new(PATH), b"a", b"a", true), Shown::Same);
    }
}
