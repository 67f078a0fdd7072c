//! Answers: the agent is there and runs modules.

use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// The module.
pub(super) struct Ping;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default = "pong")]
    data: String,
}

fn pong() -> String {
    "pong".to_owned()
}

impl Module for Ping {
    type Params = Params;
    type State = ();

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "ping".into(),
            summary: "Answers, to show that the agent is there".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![param("data", ParamKind::Str, "What to answer.").default("pong")],
            returns: vec![returns("ping", "the answer")],
            examples: "- name: Is every host there?\n  ping:\n".into(),
        }
    }

    fn observe(&self, _host: &dyn HostView, _params: &Params) -> Result<(), ModuleError> {
        Ok(())
    }

    fn diff(&self, _params: &Params, _state: &()) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Params, _: &(), _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, _state: &()) -> Map {
        Map::from_iter([("ping".to_owned(), params.data.clone().into())])
    }
}
