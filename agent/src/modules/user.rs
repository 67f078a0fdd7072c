//! Users of the host, by the system's own `useradd`, `usermod` and `userdel`.
//!
//! A password hash is given to `chpasswd` on its standard input: arguments can be read by every user of the host.
//! Not here: keys for `ssh`, limits, `sudo` rules.

use super::shared::params::yes;
use super::{Applied, Module, ModuleError};
use crate::host::{self, Attributes, Content, FileKind, Host, HostError, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns, text};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a new home directory is filled with.
const SKELETON: &str = "/etc/skel";

/// The mode of a home directory that is made for a user who is there already, as `useradd` does by default.
const HOME_MODE: u32 = 0o755;

/// What changes show in place of a password.
const HIDDEN: &str = "(hidden)";

/// The module.
pub(super) struct User;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    uid: Option<u32>,
    #[serde(default)]
    non_unique: bool,
    group: Option<String>,
    groups: Option<Vec<Value>>,
    #[serde(default)]
    append: bool,
    comment: Option<String>,
    home: Option<String>,
    shell: Option<String>,
    #[serde(default = "yes")]
    create_home: bool,
    #[serde(default)]
    move_home: bool,
    #[serde(default)]
    system: bool,
    password: Option<String>,
    #[serde(default)]
    update_password: UpdatePassword,
    password_lock: Option<bool>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    remove: bool,
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Present,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UpdatePassword {
    #[default]
    Always,
    OnCreate,
}

impl Params {
    /// The other groups that are asked for; none when they are left alone. An empty text means no groups.
    fn groups(&self) -> Option<BTreeSet<String>> {
        let groups = self.groups.as_ref()?;
        Some(
            groups.iter().filter_map(text).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
        )
    }
}

/// What was found.
pub(super) struct Seen {
    user: Option<host::User>,
    /// The name of the primary group.
    group: String,
    /// The number of the group that is asked for.
    wanted_gid: Option<u32>,
    /// A group with the user's name is there.
    own_group: bool,
    /// The hash in the shadow file, when the task is about it.
    password: Option<String>,
    home_there: bool,
}

impl Seen {
    fn locked(&self) -> bool {
        self.password.as_deref().is_some_and(|hash| hash.starts_with('!'))
    }
}

impl Module for User {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "user".into(),
            summary: "Keeps a user of the host".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(),
            returns: vec![
                returns("name", "the user's name"),
                returns("state", "present or absent"),
                returns("uid", "the number; `group` is the number of the primary group"),
                returns("groups", "the other groups"),
                returns("home", "the home directory; likewise `shell` and `comment`"),
            ],
            examples: include_str!("examples/user.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        let user = host.user(&params.name)?;
        let mut seen = Seen {
            group: String::new(),
            wanted_gid: None,
            own_group: host.group(&params.name)?.is_some(),
            password: None,
            home_there: true,
            user,
        };
        if let Some(group) = &params.group {
            seen.wanted_gid = host.group(group)?.map(|group| group.gid).or_else(|| group.parse().ok());
        }
        let Some(user) = &seen.user else { return Ok(seen) };
        seen.group = host.group_by_id(user.gid)?.map_or_else(|| user.gid.to_string(), |group| group.name);
        if params.password.is_some() || params.password_lock.is_some() {
            let end = host.query(&["getent", "shadow", &params.name])?;
            let line = String::from_utf8_lossy(&end.stdout).into_owned();
            seen.password = line.trim_end().split(':').nth(1).map(ToOwned::to_owned);
        }
        let home = params.home.as_deref().map_or_else(|| user.home.clone(), PathBuf::from);
        seen.home_there = host.stat(&home, true)?.is_some();
        Ok(seen)
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        let mut push = |property: &str, from: Value, to: Value| {
            changes.push(Change::new(&params.name, property, from, to));
        };
        match (params.state, &state.user) {
            (State::Absent, None) => {}
            (State::Absent, Some(_)) => push("state", "present".into(), "absent".into()),
            (State::Present, None) => push("state", "absent".into(), "present".into()),
            (State::Present, Some(user)) => {
                differs(params, state, user, &mut push);
                password_differs(params, state, &mut push);
            }
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        if params.state == State::Absent {
            let mut argv = vec!["userdel"];
            if params.force {
                argv.push("-f");
            }
            if params.remove {
                argv.push("-r");
            }
            argv.push(&params.name);
            host.tool(&argv, &[])?;
            return Ok(Applied::new());
        }
        check_groups(host, params, state)?;
        let wants = |property: &str| changes.iter().any(|change| change.property == property);
        let argv = if state.user.is_none() { add(params, state) } else { modify(params, &wants) };
        if argv.len() > 2 || state.user.is_none() {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            host.tool(&argv, &[])?;
        }
        if let Some(hash) = &params.password
            && (state.user.is_none() || wants("password"))
        {
            let locked = if params.password_lock == Some(true) { "!" } else { "" };
            let line = format!("{}:{locked}{hash}\n", params.name);
            host.tool_with_input(&["chpasswd", "-e"], &[], line.as_bytes())?;
        }
        if state.user.is_some() && wants("home directory") {
            make_home(host, params)?;
        }
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, state: &Seen) -> Map {
        let mut data = Map::new();
        data.insert("name".into(), params.name.as_str().into());
        data.insert("state".into(), if state.user.is_some() { "present" } else { "absent" }.into());
        data.insert("system".into(), params.system.into());
        data.insert("append".into(), params.append.into());
        if let Some(user) = &state.user {
            data.insert("uid".into(), user.uid.into());
            data.insert("group".into(), user.gid.into());
            data.insert("groups".into(), user.groups.join(",").into());
            data.insert("comment".into(), user.comment.as_str().into());
            data.insert("home".into(), user.home.display().to_string().into());
            data.insert("shell".into(), user.shell.display().to_string().into());
        }
        data
    }

    fn secret(&self, params: &Params) -> bool {
        params.password.is_some()
    }
}

fn differs(params: &Params, state: &Seen, user: &host::User, push: &mut dyn FnMut(&str, Value, Value)) {
    if let Some(uid) = params.uid
        && uid != user.uid
    {
        push("uid", user.uid.into(), uid.into());
    }
    if let Some(group) = &params.group
        && state.wanted_gid != Some(user.gid)
    {
        push("group", state.group.as_str().into(), group.as_str().into());
    }
    if let Some(wanted) = params.groups() {
        let now: BTreeSet<String> = user.groups.iter().cloned().collect();
        let right = if params.append { wanted.is_subset(&now) } else { wanted == now };
        if !right {
            let list = |names: &BTreeSet<String>| Value::from(names.iter().cloned().collect::<Vec<_>>());
            push("groups", list(&now), list(&wanted));
        }
    }
    for (property, wanted, now) in [
        ("comment", params.comment.as_deref(), user.comment.as_str()),
        ("home", params.home.as_deref(), &*user.home.to_string_lossy()),
        ("shell", params.shell.as_deref(), &*user.shell.to_string_lossy()),
    ] {
        if let Some(wanted) = wanted.filter(|&wanted| wanted != now) {
            push(property, now.into(), wanted.into());
        }
    }
    if params.create_home && !state.home_there {
        push("home directory", "absent".into(), "present".into());
    }
}

fn password_differs(params: &Params, state: &Seen, push: &mut dyn FnMut(&str, Value, Value)) {
    let now = state.password.as_deref().unwrap_or_default();
    if let Some(wanted) = &params.password
        && params.update_password == UpdatePassword::Always
        && now.trim_start_matches('!') != wanted.trim_start_matches('!')
    {
        push("password", HIDDEN.into(), HIDDEN.into());
    }
    if let Some(lock) = params.password_lock
        && lock != state.locked()
    {
        push("password_lock", state.locked().into(), lock.into());
    }
}

/// `usermod` names only the first group that is missing, and in the words of its own.
fn check_groups(host: &dyn Host, params: &Params, state: &Seen) -> Result<(), ModuleError> {
    let missing = |name: &str| HostError::NoSuchName { kind: "group", name: name.to_owned() };
    if let Some(group) = &params.group
        && state.wanted_gid.is_none()
    {
        return Err(missing(group).into());
    }
    for group in params.groups().unwrap_or_default() {
        if host.group(&group)?.is_none() {
            return Err(missing(&group).into());
        }
    }
    Ok(())
}

fn add(params: &Params, state: &Seen) -> Vec<String> {
    let mut argv = vec!["useradd".to_owned()];
    let mut option = |flag: &str, value: &str| argv.extend([flag.to_owned(), value.to_owned()]);
    if let Some(uid) = params.uid {
        option("-u", &uid.to_string());
    }
    if let Some(group) = &params.group {
        option("-g", group);
    }
    let groups = params.groups().unwrap_or_default();
    if !groups.is_empty() {
        option("-G", &groups.into_iter().collect::<Vec<_>>().join(","));
    }
    for (flag, value) in [("-c", &params.comment), ("-d", &params.home), ("-s", &params.shell)] {
        if let Some(value) = value {
            option(flag, value);
        }
    }
    if params.uid.is_some() && params.non_unique {
        argv.push("-o".to_owned());
    }
    if params.group.is_none() && state.own_group {
        // A group of the user's name is there and was not asked for: useradd must not try to make it again.
        argv.push("-N".to_owned());
    }
    argv.push(if params.create_home { "-m" } else { "-M" }.to_owned());
    if params.system {
        argv.push("-r".to_owned());
    }
    argv.push(params.name.clone());
    argv
}

fn modify(params: &Params, wants: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut argv = vec!["usermod".to_owned()];
    let mut option = |flag: &str, value: &str| argv.extend([flag.to_owned(), value.to_owned()]);
    if let Some(uid) = params.uid.filter(|_| wants("uid")) {
        option("-u", &uid.to_string());
    }
    for (property, flag, value) in [
        ("group", "-g", &params.group),
        ("comment", "-c", &params.comment),
        ("home", "-d", &params.home),
        ("shell", "-s", &params.shell),
    ] {
        if let Some(value) = value.as_ref().filter(|_| wants(property)) {
            option(flag, value);
        }
    }
    if wants("groups") {
        option("-G", &params.groups().unwrap_or_default().into_iter().collect::<Vec<_>>().join(","));
        if params.append {
            argv.push("-a".to_owned());
        }
    }
    if wants("uid") && params.non_unique {
        argv.push("-o".to_owned());
    }
    if wants("home") && params.move_home {
        argv.push("-m".to_owned());
    }
    if wants("password_lock") && !wants("password") {
        argv.push(if params.password_lock == Some(true) { "-L" } else { "-U" }.to_owned());
    }
    argv.push(params.name.clone());
    argv
}

/// Makes the home of a user who is there and has none, as `useradd -m` would have.
fn make_home(host: &dyn Host, params: &Params) -> Result<(), ModuleError> {
    let user = host.user(&params.name)?;
    let user = user.ok_or_else(|| HostError::NoSuchName { kind: "user", name: params.name.clone() })?;
    if host.stat(&user.home, true)?.is_some() {
        return Ok(());
    }
    let own = Attributes { mode: None, uid: Some(user.uid), gid: Some(user.gid) };
    host.make_dir(&user.home, Attributes { mode: Some(HOME_MODE), ..own })?;
    fill(host, Path::new(SKELETON), &user.home, own)
}

fn fill(host: &dyn Host, from: &Path, to: &Path, own: Attributes) -> Result<(), ModuleError> {
    for name in host.list(from)?.unwrap_or_default() {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(stat) = host.stat(&source, false)? else { continue };
        let own = Attributes { mode: Some(stat.mode), ..own };
        match stat.kind {
            FileKind::Directory => {
                host.make_dir(&target, own)?;
                fill(host, &source, &target, own)?;
            }
            FileKind::File => host.write(&target, Content::File(&source), own)?,
            FileKind::Link => host.symlink(&stat.target.unwrap_or_default(), &target)?,
            FileKind::Block | FileKind::Char | FileKind::Fifo | FileKind::Socket => {}
        }
    }
    Ok(())
}

fn params() -> Vec<ParamDoc> {
    vec![
        param("name", ParamKind::Str, "The user's name.").required().aliases(&["user"]),
        param("uid", ParamKind::Int, "The number."),
        param("non_unique", ParamKind::Bool, "Another user may have the number.").default("false"),
        param("group", ParamKind::Str, "The primary group; it must be there."),
        param("groups", ParamKind::List, "The other groups; an empty text takes the user out of all."),
        param("append", ParamKind::Bool, "Add to groups, do not leave any.").default("false"),
        param("comment", ParamKind::Str, "The full name."),
        param("home", ParamKind::Path, "The home directory."),
        param("shell", ParamKind::Path, "The login shell."),
        param("create_home", ParamKind::Bool, "Make the home directory when it is missing.")
            .aliases(&["createhome"])
            .default("true"),
        param("move_home", ParamKind::Bool, "Move the old home to the new one.").default("false"),
        param("system", ParamKind::Bool, "A new user gets a number of the system's range.").default("false"),
        param("password", ParamKind::Str, "The password's hash, as in the shadow file.").secret(),
        param("update_password", ParamKind::Str, "Set the password always, or of new users only.")
            .choices(&["always", "on_create"])
            .default("always"),
        param("password_lock", ParamKind::Bool, "Whether the password is locked."),
        param("state", ParamKind::Str, "Whether the user is there.").choices(&["present", "absent"]).default("present"),
        param("remove", ParamKind::Bool, "With state=absent: remove the home directory too.").default("false"),
        param("force", ParamKind::Bool, "With state=absent: even while the user is logged in.").default("false"),
    ]
}
