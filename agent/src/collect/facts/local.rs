//! The host's own facts: `*.fact` files, JSON or INI, or programs that write one of these.

use super::put;
use crate::collect::CollectError;
use crate::host::{FileKind, HostView};
use kfleet_model::{Map, Value};
use std::path::Path;

/// Where the files lie unless `fact_path` says otherwise.
const FOLDERS: [&str; 2] = ["/etc/ansible/facts.d", "/etc/kfleet/facts.d"];

/// A facts file is small.
const LIMIT: u64 = 1024 * 1024;

pub(super) fn gather(host: &dyn HostView, path: Option<&str>, facts: &mut Map) -> Result<(), CollectError> {
    let folders = path.map_or_else(|| FOLDERS.to_vec(), |path| vec![path]);
    let mut local = Map::new();
    for folder in folders {
        for name in host.list(Path::new(folder))?.unwrap_or_default() {
            if let Some(stem) = name.strip_suffix(".fact") {
                let value = read(host, &Path::new(folder).join(&name))?;
                put(&mut local, stem, value);
            }
        }
    }
    put(facts, "local", Value::Object(local));
    Ok(())
}

fn read(host: &dyn HostView, path: &Path) -> Result<Value, CollectError> {
    let Some(stat) = host.stat(path, true)? else { return Ok(Value::Null) };
    if stat.kind != FileKind::File {
        return Ok(format!("error: {} is a {}", path.display(), stat.kind.word()).into());
    }
    let text = if stat.mode & 0o111 == 0 {
        String::from_utf8_lossy(&host.read(path, LIMIT)?.unwrap_or_default()).into_owned()
    } else if stat.mode & 0o022 != 0 {
        // The agent is root; whoever may write this file would be root too.
        return Ok(format!("error: {} was not run: others than its owner may write it", path.display()).into());
    } else {
        let end = host.query(&[&path.display().to_string()])?;
        if end.rc != 0 {
            let said = String::from_utf8_lossy(&end.stderr).trim().to_owned();
            return Ok(format!("error: {} exited with status {}: {said}", path.display(), end.rc).into());
        }
        String::from_utf8_lossy(&end.stdout).into_owned()
    };
    Ok(parse(&text).unwrap_or_else(|| format!("error: {} is neither JSON nor INI", path.display()).into()))
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| ini(text))
}

/// Sections of keys, as Python's configparser reads them: keys in lower case, values as text.
fn ini(text: &str) -> Option<Value> {
    let mut sections = Map::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            put(&mut sections, name, Value::Object(Map::new()));
            current = Some(name.to_owned());
            continue;
        }
        let (key, value) = line.split_once(['=', ':'])?;
        let section = sections.get_mut(current.as_ref()?)?.as_object_mut()?;
        put(section, &key.trim().to_lowercase(), value.trim());
    }
    (!sections.is_empty()).then_some(Value::Object(sections))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_files_are_json_or_ini() {
        for (text, wanted) in [
            ("{\"rack\": \"a\"}", Some(json!({"rack": "a"}))),
            ("[kafka]\nRack = a\n; comment\nid: 3\n[zk]\n", Some(json!({"kafka": {"rack": "a", "id": "3"}, "zk": {}}))),
            ("rack=a", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
