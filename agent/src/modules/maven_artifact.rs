//! A file of a Maven repository, by its coordinates: the jars that no distribution packages.
//!
//! The path is the layout of every Maven 2 repository, `GROUP/ARTIFACT/VERSION/ARTIFACT-VERSION[-CLASSIFIER].EXTENSION`, with
//! checksums beside each file. A release never changes, so a file that is there is not asked for again unless that is
//! said.
//! Not here: what an artifact depends on, snapshots, ranges of versions.

use super::shared::attributes::{self, Asked};
use super::shared::download::{self, Checksum, Means, Wanted};
use super::{Applied, Module, ModuleError};
use crate::host::{Digest, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// Checksums that a repository may have, the strongest first. Every one has the last, which guards against damage and not
/// against malice.
const SUMS: [(&str, Digest); 3] = [("sha512", Digest::Sha512), ("sha256", Digest::Sha256), ("sha1", Digest::Sha1)];

/// The module.
pub(super) struct MavenArtifact;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    group_id: String,
    artifact_id: String,
    version: String,
    #[serde(default)]
    classifier: String,
    #[serde(default = "jar")]
    extension: String,
    repository_url: String,
    dest: String,
    #[serde(default)]
    verify_checksum: Verify,
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

fn jar() -> String {
    "jar".to_owned()
}

/// When the repository's checksum is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verify {
    Never,
    #[default]
    Download,
    Change,
    Always,
}

impl Params {
    fn asked(&self) -> Asked<'_> {
        Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() }
    }

    fn means(&self) -> Means<'_> {
        Means { headers: &self.headers, timeout_s: self.timeout, ca_path: self.ca_path.as_deref() }
    }

    /// The file's own name.
    fn name(&self) -> String {
        let classifier = if self.classifier.is_empty() { String::new() } else { format!("-{}", self.classifier) };
        format!("{}-{}{classifier}.{}", self.artifact_id, self.version, self.extension)
    }

    /// # Errors
    /// When a coordinate is none, or names no single release.
    fn url(&self) -> Result<String, ModuleError> {
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
            !text.is_empty() && !text.starts_with('.') && !text.contains("..") && text.chars().all(allowed)
        };
        let optional = |text: &str| text.is_empty() || plain(text);
        for (key, value, right) in [
            ("group_id", &self.group_id, plain(&self.group_id)),
            ("artifact_id", &self.artifact_id, plain(&self.artifact_id)),
            ("version", &self.version, plain(&self.version)),
            ("classifier", &self.classifier, optional(&self.classifier)),
            ("extension", &self.extension, plain(&self.extension)),
        ] {
            if !right {
                return Err(ModuleError::Invalid(format!("{key} {value:?} is no part of Maven coordinates")));
            }
        }
        if matches!(self.version.as_str(), "latest" | "LATEST" | "RELEASE") || self.version.ends_with("-SNAPSHOT") {
            return Err(ModuleError::Invalid(format!(
                "version {:?} is another file every day; name a release, so that all hosts have the same",
                self.version
            )));
        }
        let repository = self.repository_url.trim_end_matches('/');
        let group = self.group_id.replace('.', "/");
        Ok(format!("{repository}/{group}/{}/{}/{}", self.artifact_id, self.version, self.name()))
    }

    /// The strongest checksum that the repository has.
    fn published(&self, host: &dyn HostView, url: &str) -> Result<Checksum, ModuleError> {
        for (extension, digest) in SUMS {
            let text = format!("{url}.{extension}");
            if let Some(checksum) = download::published(host, self.means(), &text, digest, &self.name())? {
                return Ok(checksum);
            }
        }
        Err(ModuleError::Invalid(format!(
            "{url} has no checksum beside it: there is no such artifact, or verify_checksum must be never"
        )))
    }
}

impl Module for MavenArtifact {
    type Params = Params;
    type State = Wanted;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("group_id", ParamKind::Str, "The group, as io.prometheus.jmx.").required(),
            param("artifact_id", ParamKind::Str, "The artifact, as jmx_prometheus_javaagent.").required(),
            param("version", ParamKind::Str, "The release.").required(),
            param("classifier", ParamKind::Str, "What tells one file of a release from another."),
            param("extension", ParamKind::Str, "The end of the file's name.").default("jar"),
            param("repository_url", ParamKind::Str, "The repository, over http or https.").required(),
            param("dest", ParamKind::Path, "Where it goes; a directory takes it under the name that it has there.")
                .required(),
            param(
                "verify_checksum",
                ParamKind::Str,
                "When the repository's checksum is compared: when the file is fetched; also with the file that is there \
                 (change and always), which then is fetched anew when it differs; or never.",
            )
            .choices(&["never", "download", "change", "always"])
            .default("download"),
            param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
                .default("false"),
        ];
        params.extend(download::means_params());
        params.extend(attributes::params());
        ModuleDoc {
            name: "maven_artifact".into(),
            summary: "Fetches a file of a Maven repository by its coordinates".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("dest", "the file's path"),
                returns("url", "from where it is"),
                returns("checksum", "what it hashes to, with the function's name, when it was compared"),
                returns("size", "its size in bytes; likewise mode, owner, group, uid, gid and state"),
                returns("backup_file", "the path of the copy that was kept"),
            ],
            examples: include_str!("examples/maven_artifact.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Wanted, ModuleError> {
        let url = params.url()?;
        let path = download::place(host, &params.dest, &params.name())?;
        let there = host.stat(&path, true)?.is_some();
        let compare = match params.verify_checksum {
            Verify::Never => false,
            Verify::Download => !there,
            Verify::Change | Verify::Always => true,
        };
        let checksum = if compare { Some(params.published(host, &url)?) } else { None };
        download::look(host, &url, path, params.asked(), checksum)
    }

    fn diff(&self, params: &Params, state: &Wanted) -> Result<Vec<Change>, ModuleError> {
        state.changes(params.asked())
    }

    fn apply(&self, host: &dyn Host, params: &Params, state: &Wanted, _: &[Change]) -> Result<Applied, ModuleError> {
        state.install(host, params.means(), params.asked(), params.backup)
    }

    fn found(&self, _params: &Params, state: &Wanted) -> Map {
        let mut data = Map::from_iter([("url".to_owned(), state.url.as_str().into())]);
        state.describe(&mut data);
        data
    }
}
