//! Brings a small file of the host to the controller, in Base64.

use super::shared::paths;
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// The largest file: the result travels as one message and is kept with the run.
const LIMIT: u64 = 8 * 1024 * 1024;

/// The module.
pub(super) struct Slurp;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    src: String,
}

impl Module for Slurp {
    type Params = Params;
    type State = Vec<u8>;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "slurp".into(),
            summary: "Reads a file of the host, at most 8 MiB".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![param("src", ParamKind::Path, "The file.").required().aliases(&["path"])],
            returns: vec![
                returns("content", "the file in Base64; `b64decode` gives the text"),
                returns("encoding", "always base64"),
                returns("source", "the file's path"),
            ],
            examples: "- name: Which cluster is this?\n  slurp:\n    src: /data/kafka/meta.properties\n  \
                       register: meta\n"
                .into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Vec<u8>, ModuleError> {
        let path = paths::absolute(host, &params.src)?;
        host.read(&path, LIMIT)?.ok_or_else(|| ModuleError::Invalid(format!("{} does not exist", path.display())))
    }

    fn diff(&self, _params: &Params, _state: &Vec<u8>) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Params, _: &Vec<u8>, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, state: &Vec<u8>) -> Map {
        Map::from_iter([
            ("content".to_owned(), BASE64_STANDARD.encode(state).into()),
            ("encoding".to_owned(), "base64".into()),
            ("source".to_owned(), params.src.clone().into()),
        ])
    }
}
