//! `setup`: the facts of the host, under Ansible's names.

use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};

/// The module.
pub(super) struct Setup;

impl Module for Setup {
    type Params = Map;
    type State = Map;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "setup".into(),
            summary: "Gathers facts about the host".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![
                param(
                    "gather_subset",
                    ParamKind::List,
                    "Which facts: all, min, hardware, network, virtual; with ! before it to leave one out.",
                )
                .default("all"),
                param("filter", ParamKind::List, "Only facts whose names match one of these shell patterns."),
                param("fact_path", ParamKind::Path, "Where the host's own facts (*.fact) lie.")
                    .default("/etc/ansible/facts.d and /etc/kfleet/facts.d"),
                param("gather_timeout", ParamKind::Int, "Accepted for Ansible's sake; the task's deadline counts.")
                    .default("10"),
            ],
            returns: vec![returns("ansible_facts", "the facts; each name begins with ansible_")],
            examples: "- name: Only what names the system\n  setup:\n    gather_subset: [\"!all\"]\n    \
                       filter: ansible_distribution*\n"
                .into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Map, ModuleError> {
        Ok(collect::facts(host, params)?)
    }

    fn diff(&self, _params: &Map, _state: &Map) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Map, _: &Map, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, _params: &Map, _state: &Map) -> Map {
        Map::new()
    }

    fn facts(&self, _params: &Map, state: &Map) -> Map {
        state.clone()
    }
}
