//! A file fetched over HTTP or HTTPS.
//!
//! With a checksum the file on the host says whether there is anything to fetch, and what is fetched is put in place only
//! when it has that. A transfer that is cut goes on where it was (`host::fetch`).
//! Not here: archives unpacked, proxies, jars by their coordinates (`maven_artifact`).

use super::shared::attributes::{self, Asked};
use super::shared::download::{self, Checksum, Means, Wanted};
use super::{Applied, Module, ModuleError};
use crate::host::{Digest, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// The module.
pub(super) struct GetUrl;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    url: String,
    dest: String,
    checksum: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    backup: bool,
    #[serde(default)]
    headers: Map,
    #[serde(default = "download::timeout")]
    timeout: u64,
    ca_path: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
}

impl Params {
    fn asked(&self) -> Asked<'_> {
        Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() }
    }

    fn means(&self) -> Means<'_> {
        Means { headers: &self.headers, timeout_s: self.timeout, ca_path: self.ca_path.as_deref() }
    }

    /// The last part of the URL's path.
    fn name(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once("://").map_or(path, |(_, rest)| rest);
        path.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default()
    }

    /// `sha256:SUM`, or `sha256:URL` of a text that has it.
    fn checksum(&self, host: &dyn HostView) -> Result<Option<Checksum>, ModuleError> {
        let Some(text) = self.checksum.as_deref().filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let names: Vec<&str> = Digest::NAMED.iter().map(|(name, _)| *name).collect();
        let wrong = |why: String| ModuleError::Invalid(format!("checksum {text:?} {why}"));
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| wrong(format!("is not of the form FUNCTION:SUM, with one of {}", names.join(", "))))?;
        let digest = Digest::NAMED.iter().find(|(known, _)| *known == name.trim().to_ascii_lowercase());
        let (_, digest) = *digest.ok_or_else(|| wrong(format!("names none of {}", names.join(", "))))?;
        let value = value.trim();
        if !value.contains("://") {
            let sum = Checksum::new(digest, value);
            return sum
                .map(Some)
                .ok_or_else(|| wrong(format!("has not the {} digits of its function", digest.digits())));
        }
        match download::published(host, self.means(), value, digest, self.name())? {
            Some(checksum) => Ok(Some(checksum)),
            None => Err(wrong("is not there".to_owned())),
        }
    }
}

impl Module for GetUrl {
    type Params = Params;
    type State = Wanted;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("url", ParamKind::Str, "From where, over http or https; without a name and a password in it.")
                .required(),
            param(
                "dest",
                ParamKind::Path,
                "Where it goes; a directory takes it under the name that it has in the URL.",
            )
            .required(),
            param(
                "checksum",
                ParamKind::Str,
                "What it must hash to, as sha512:SUM, or sha512:URL of a text with the sum of the file. Without it a file \
                 that is there is left alone.",
            ),
            param(
                "force",
                ParamKind::Bool,
                "Fetch it every time, when no checksum is given; this counts as a change every time.",
            )
            .default("false"),
            param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
                .default("false"),
        ];
        params.extend(download::means_params());
        params.extend(attributes::params());
        ModuleDoc {
            name: "get_url".into(),
            summary: "Fetches a file over HTTP or HTTPS".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("dest", "the file's path"),
                returns("url", "from where it is"),
                returns("checksum", "what it hashes to, with the function's name, when one was given"),
                returns("size", "its size in bytes; likewise mode, owner, group, uid, gid and state"),
                returns("backup_file", "the path of the copy that was kept"),
            ],
            examples: include_str!("examples/get_url.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Wanted, ModuleError> {
        let path = download::place(host, &params.dest, params.name())?;
        let checksum = params.checksum(host)?;
        let wanted = download::look(host, &params.url, path, params.asked(), checksum)?;
        Ok(Wanted { fetch: wanted.fetch || params.always(), ..wanted })
    }

    fn diff(&self, params: &Params, state: &Wanted) -> Result<Vec<Change>, ModuleError> {
        state.changes(params.asked())
    }

    fn apply(&self, host: &dyn Host, params: &Params, state: &Wanted, _: &[Change]) -> Result<Applied, ModuleError> {
        state.install(host, params.means(), params.asked(), params.backup)
    }

    fn found(&self, params: &Params, state: &Wanted) -> Map {
        let mut data = Map::from_iter([("url".to_owned(), params.url.as_str().into())]);
        state.describe(&mut data);
        data
    }

    /// What is fetched every time is an act and not a state.
    fn proves(&self, params: &Params) -> bool {
        !params.always()
    }
}

impl Params {
    fn always(&self) -> bool {
        self.force && self.checksum.is_none()
    }
}
