//! Owner, group and mode of a path: what a task asks for, what is there, what differs.

use super::mode;
use crate::host::{Attributes, FileKind, FileStat, HostError, HostView};
use crate::modules::ModuleError;
use kfleet_model::module::{ParamDoc, ParamKind, param};
use kfleet_model::{Change, Map, Value};
use std::path::Path;

/// The mode that a new file has when nobody says, before symbolic changes.
const NEW_FILE: u32 = 0o644;
/// Likewise for a directory.
const NEW_DIRECTORY: u32 = 0o755;

/// What a task asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) owner: Option<&'a str>,
    pub(crate) group: Option<&'a str>,
    pub(crate) mode: Option<&'a str>,
}

/// What is there, with the names that numbers have on this host.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) stat: Option<FileStat>,
    owner: String,
    group: String,
    /// The numbers of the owner and group that are asked for; none when this host does not know the name (yet).
    uid: Option<u32>,
    gid: Option<u32>,
}

/// The parameters that every module with files has.
pub(crate) fn params() -> Vec<ParamDoc> {
    vec![
        param("owner", ParamKind::Str, "The owner, a name or a number. Left alone when not given."),
        param("group", ParamKind::Str, "The group, a name or a number. Left alone when not given."),
        param(
            "mode",
            ParamKind::Mode,
            "The permissions, octal in quotes (\"0644\") or symbolic (u=rw,g=r,o=). Left alone when not given; \
             a new file then gets 0644, a new directory 0755.",
        ),
        param(
            "unsafe_writes",
            ParamKind::Bool,
            "Accepted for Ansible's sake and without effect: files are always replaced as a whole.",
        )
        .default("false"),
    ]
}

impl Asked<'_> {
    /// Looks at a path that was already `stat`ed.
    pub(crate) fn look(&self, host: &dyn HostView, stat: Option<FileStat>) -> Result<Found, ModuleError> {
        let (mut owner, mut group) = (String::new(), String::new());
        if let Some(stat) = &stat {
            owner = host.user_by_id(stat.uid)?.map_or_else(|| stat.uid.to_string(), |user| user.name);
            group = host.group_by_id(stat.gid)?.map_or_else(|| stat.gid.to_string(), |group| group.name);
        }
        let uid = match self.owner {
            None => None,
            // Most files stay with the owner they have: no second question to the name services then.
            Some(name) if stat.is_some() && name == owner => stat.as_ref().map(|s| s.uid),
            Some(name) => host.user(name)?.map(|user| user.uid).or_else(|| name.parse().ok()),
        };
        let gid = match self.group {
            None => None,
            Some(name) if stat.is_some() && name == group => stat.as_ref().map(|s| s.gid),
            Some(name) => host.group(name)?.map(|group| group.gid).or_else(|| name.parse().ok()),
        };
        Ok(Found { stat, owner, group, uid, gid })
    }

    /// Adds what differs. `directory` is what the path is or will be.
    pub(crate) fn differs(
        &self,
        path: &Path,
        found: &Found,
        directory: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), ModuleError> {
        let object = path.display().to_string();
        let present = |value: Value| if found.stat.is_some() { value } else { Value::Null };
        if let Some(owner) = self.owner
            && found.stat.as_ref().map(|s| s.uid) != found.uid.or(Some(u32::MAX))
        {
            changes.push(Change::new(&object, "owner", present(found.owner.clone().into()), owner));
        }
        if let Some(group) = self.group
            && found.stat.as_ref().map(|s| s.gid) != found.gid.or(Some(u32::MAX))
        {
            changes.push(Change::new(&object, "group", present(found.group.clone().into()), group));
        }
        if let Some(wanted) = self.mode(found, directory)?
            && found.stat.as_ref().is_none_or(|s| s.mode != wanted && s.kind != FileKind::Link)
        {
            let now = found.stat.as_ref().map(|s| mode::show(s.mode)).unwrap_or_default();
            changes.push(Change::new(object, "mode", present(now.into()), mode::show(wanted)));
        }
        Ok(())
    }

    fn mode(&self, found: &Found, directory: bool) -> Result<Option<u32>, ModuleError> {
        let base = match &found.stat {
            Some(stat) if stat.kind != FileKind::Link => stat.mode,
            _ if directory => NEW_DIRECTORY,
            _ => NEW_FILE,
        };
        self.mode.map(|text| mode::resolve(text, base, directory).map_err(ModuleError::Invalid)).transpose()
    }

    /// The same in numbers, for the host.
    ///
    /// # Errors
    /// When a name that is asked for does not exist on the host.
    pub(crate) fn numbers(&self, found: &Found, directory: bool) -> Result<Attributes, ModuleError> {
        let known = |kind, name: Option<&str>, number: Option<u32>| match (name, number) {
            (Some(name), None) => Err(HostError::NoSuchName { kind, name: name.to_owned() }),
            (_, number) => Ok(number),
        };
        Ok(Attributes {
            mode: self.mode(found, directory)?,
            uid: known("user", self.owner, found.uid)?,
            gid: known("group", self.group, found.gid)?,
        })
    }
}

impl Found {
    /// The keys that every result about a path has: `uid`, `gid`, `owner`, `group`, `mode`, `size`, `state`.
    pub(crate) fn describe(&self, into: &mut Map) {
        let Some(stat) = &self.stat else {
            into.insert("state".into(), "absent".into());
            return;
        };
        into.insert("uid".into(), stat.uid.into());
        into.insert("gid".into(), stat.gid.into());
        into.insert("owner".into(), self.owner.clone().into());
        into.insert("group".into(), self.group.clone().into());
        into.insert("mode".into(), mode::show(stat.mode).into());
        into.insert("size".into(), stat.size.into());
        into.insert("state".into(), state(stat).into());
    }
}

/// Ansible's word for what a path is.
pub(crate) fn state(stat: &FileStat) -> &'static str {
    match stat.kind {
        FileKind::Directory => "directory",
        FileKind::Link => "link",
        FileKind::File if stat.links > 1 => "hard",
        FileKind::File | FileKind::Block | FileKind::Char | FileKind::Fifo | FileKind::Socket => "file",
    }
}
