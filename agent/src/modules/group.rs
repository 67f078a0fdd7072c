//! Groups of the host.

use super::{Applied, Module, ModuleError};
use crate::host::{self, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;

/// The module.
pub(super) struct Group;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    gid: Option<u32>,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    non_unique: bool,
    #[serde(default)]
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Present,
    Absent,
}

impl Module for Group {
    type Params = Params;
    type State = Option<host::Group>;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "group".into(),
            summary: "Keeps a group of the host".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: vec![
                param("name", ParamKind::Str, "The group's name.").required(),
                param("gid", ParamKind::Int, "Its number."),
                param("system", ParamKind::Bool, "A new group gets a number of the system's range.").default("false"),
                param("non_unique", ParamKind::Bool, "Another group may have the number.").default("false"),
                param("state", ParamKind::Str, "Whether it is there.")
                    .choices(&["present", "absent"])
                    .default("present"),
            ],
            returns: vec![
                returns("name", "the group's name"),
                returns("gid", "its number"),
                returns("state", "present or absent"),
                returns("system", "as the task has it"),
            ],
            examples: "- name: The broker's group\n  group:\n    name: kafka\n    system: true\n".into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Option<host::Group>, ModuleError> {
        Ok(host.group(&params.name)?)
    }

    fn diff(&self, params: &Params, state: &Option<host::Group>) -> Result<Vec<Change>, ModuleError> {
        Ok(match (params.state, state) {
            (State::Present, None) => vec![Change::new(&params.name, "state", "absent", "present")],
            (State::Absent, Some(_)) => vec![Change::new(&params.name, "state", "present", "absent")],
            (State::Present, Some(group)) => match params.gid {
                Some(gid) if gid != group.gid => vec![Change::new(&params.name, "gid", group.gid, gid)],
                _ => Vec::new(),
            },
            (State::Absent, None) => Vec::new(),
        })
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Option<host::Group>,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let gid = params.gid.map(|gid| gid.to_string());
        let mut argv = match (params.state, state) {
            (State::Absent, _) => vec!["groupdel"],
            (State::Present, Some(_)) => vec!["groupmod"],
            (State::Present, None) if params.system => vec!["groupadd", "-r"],
            (State::Present, None) => vec!["groupadd"],
        };
        if params.state == State::Present
            && let Some(gid) = &gid
        {
            argv.extend(["-g", gid]);
            if params.non_unique {
                argv.push("-o");
            }
        }
        argv.push(&params.name);
        host.tool(&argv, &[])?;
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, state: &Option<host::Group>) -> Map {
        let mut data = Map::new();
        data.insert("name".into(), params.name.as_str().into());
        data.insert("state".into(), if state.is_some() { "present" } else { "absent" }.into());
        data.insert("system".into(), params.system.into());
        data.insert("gid".into(), state.as_ref().map_or(Value::Null, |group| group.gid.into()));
        data
    }
}
