//! What a path is: everything that `stat` tells, with a checksum.

use super::shared::{mode, paths};
use super::{Applied, Module, ModuleError};
use crate::host::{Access, Digest, FileKind, FileStat, Host, HostView};
use crate::modules::shared::params::yes;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::PathBuf;

/// The module.
pub(super) struct Stat;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: String,
    #[serde(default)]
    follow: bool,
    #[serde(default = "yes")]
    get_checksum: bool,
    #[serde(default)]
    checksum_algorithm: Algorithm,
    #[serde(default, rename = "get_mime")]
    _get_mime: bool,
    #[serde(default, rename = "get_attributes")]
    _get_attributes: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl From<Algorithm> for Digest {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1,
            Algorithm::Sha224 => Self::Sha224,
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Sha384 => Self::Sha384,
            Algorithm::Sha512 => Self::Sha512,
        }
    }
}

/// What was found; none when nothing is there.
pub(super) struct Seen {
    path: PathBuf,
    stat: FileStat,
    access: Access,
    owner: Option<String>,
    group: Option<String>,
    checksum: Option<String>,
}

impl Module for Stat {
    type Params = Params;
    type State = Option<Seen>;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "stat".into(),
            summary: "Tells what a path is".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![
                param("path", ParamKind::Path, "The path.").required().aliases(&["dest", "name"]),
                param("follow", ParamKind::Bool, "Tell of what a link points at.").default("false"),
                param("get_checksum", ParamKind::Bool, "Have a checksum of a file's content.")
                    .aliases(&["checksum"])
                    .default("true"),
                param("checksum_algorithm", ParamKind::Str, "Which one.")
                    .choices(&["sha1", "sha224", "sha256", "sha384", "sha512"])
                    .aliases(&["checksum_algo"])
                    .default("sha1"),
                param("get_mime", ParamKind::Bool, "Accepted for Ansible's sake; no MIME type is told.")
                    .aliases(&["mime", "mime_type", "mime-type"])
                    .default("false"),
                param("get_attributes", ParamKind::Bool, "Accepted for Ansible's sake; no `lsattr` flags are told.")
                    .aliases(&["attr", "attributes"])
                    .default("false"),
            ],
            returns: vec![returns(
                "stat",
                "a mapping: exists, path, mode, isdir, isreg, islnk, isblk, ischr, isfifo, issock, uid, gid, pw_name, \
                 gr_name, size (bytes), blocks, block_size, inode, dev, device_type, nlink, atime, mtime, ctime \
                 (seconds since 1970), checksum, readable, writeable, executable, isuid, isgid, the nine permission \
                 bits (rusr ... xoth), lnk_source and lnk_target",
            )],
            examples: "- name: Is the broker installed?\n  stat:\n    path: /opt/kafka/bin\n  register: kafka\n".into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Option<Seen>, ModuleError> {
        let path = paths::absolute(host, &params.path)?;
        let Some(stat) = host.stat(&path, params.follow)? else { return Ok(None) };
        let access = host.access(&path)?;
        let checksum = if params.get_checksum && stat.kind == FileKind::File && access.read {
            host.digest(&path, params.checksum_algorithm.into())?
        } else {
            None
        };
        Ok(Some(Seen {
            access,
            owner: host.user_by_id(stat.uid)?.map(|user| user.name),
            group: host.group_by_id(stat.gid)?.map(|group| group.name),
            checksum,
            path,
            stat,
        }))
    }

    fn diff(&self, _params: &Params, _state: &Option<Seen>) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Params, _: &Option<Seen>, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, _params: &Params, state: &Option<Seen>) -> Map {
        let stat = match state {
            Some(seen) => seen.describe(),
            None => Map::from_iter([("exists".to_owned(), false.into())]),
        };
        Map::from_iter([("stat".to_owned(), Value::Object(stat))])
    }
}

impl Seen {
    fn describe(&self) -> Map {
        let stat = &self.stat;
        let is = |kind| Value::Bool(stat.kind == kind);
        let bit = |bit| Value::Bool(stat.mode & bit != 0);
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("exists", true.into());
        put("path", self.path.display().to_string().into());
        put("mode", mode::show(stat.mode).into());
        for (key, kind) in [
            ("isdir", FileKind::Directory),
            ("ischr", FileKind::Char),
            ("isblk", FileKind::Block),
            ("isreg", FileKind::File),
            ("isfifo", FileKind::Fifo),
            ("islnk", FileKind::Link),
            ("issock", FileKind::Socket),
        ] {
            put(key, is(kind));
        }
        put("uid", stat.uid.into());
        put("gid", stat.gid.into());
        put("size", stat.size.into());
        put("inode", stat.inode.into());
        put("dev", stat.device.into());
        put("device_type", stat.device_type.into());
        put("nlink", stat.links.into());
        put("block_size", stat.block_size.into());
        put("blocks", stat.blocks.into());
        put("atime", seconds(stat.atime_ns));
        put("mtime", seconds(stat.mtime_ns));
        put("ctime", seconds(stat.ctime_ns));
        for (letter, shift) in [("usr", 6), ("grp", 3), ("oth", 0)] {
            put(&format!("r{letter}"), bit(4 << shift));
            put(&format!("w{letter}"), bit(2 << shift));
            put(&format!("x{letter}"), bit(1 << shift));
        }
        put("isuid", bit(0o4000));
        put("isgid", bit(0o2000));
        put("readable", self.access.read.into());
        put("writeable", self.access.write.into());
        put("executable", self.access.execute.into());
        if let Some(owner) = &self.owner {
            put("pw_name", owner.as_str().into());
        }
        if let Some(group) = &self.group {
            put("gr_name", group.as_str().into());
        }
        if let Some(checksum) = &self.checksum {
            put("checksum", checksum.as_str().into());
        }
        if let Some(target) = &stat.target {
            put("lnk_target", target.display().to_string().into());
            let source = self.path.parent().unwrap_or(std::path::Path::new("/")).join(target);
            put("lnk_source", source.display().to_string().into());
        }
        map
    }
}

/// Seconds with a fraction, as Python shows times.
fn seconds(nanoseconds: i128) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "the result is a float by Ansible's contract")]
    let seconds = nanoseconds as f64 / 1e9;
    seconds.into()
}
