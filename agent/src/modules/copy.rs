//! Files put in place as a whole: `copy` and `template`.
//!
//! The controller does the half that needs its files: it renders a template into `content`, sends a file into the
//! agent's cache and names it by `_blob` (SHA-256), and says the file's own name (`_name`), mode (`_mode`, for
//! `mode: preserve`) and SHA-1 (`_sha1`, which Ansible's results show). With `remote_src` the source is on the host.
//! Not here: parts of files (`lineinfile`, `blockinfile`, `replace`).

use super::shared::attributes::{self, Asked, Found};
use super::shared::params::yes;
use super::shared::{difference, edit, mode, paths};
use super::{Applied, Module, ModuleError};
use crate::host::{Attributes, Content, Digest, FileKind, FileStat, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns, text};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Files over this size get no `checksum` (SHA-1) of the agent's own making: one hash of a large file is enough.
const SHA1_LIMIT: u64 = 16 * 1024 * 1024;

/// How deep a directory may be that is copied with `remote_src`.
const DEPTH: usize = 64;

/// The two modules that are made of this.
pub(super) struct Copy {
    name: &'static str,
}

impl Copy {
    /// `copy`: a file as it is.
    pub(super) const COPY: Self = Self { name: "copy" };
    /// `template`: a text that the controller rendered.
    pub(super) const TEMPLATE: Self = Self { name: "template" };
}

/// Their parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    dest: String,
    src: Option<String>,
    content: Option<Value>,
    _blob: Option<String>,
    _name: Option<String>,
    _mode: Option<String>,
    _sha1: Option<String>,
    #[serde(default)]
    remote_src: bool,
    #[serde(default)]
    backup: bool,
    #[serde(default = "yes")]
    force: bool,
    #[serde(default)]
    follow: bool,
    validate: Option<String>,
    directory_mode: Option<String>,
    checksum: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    // What only the controller's half reads.
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
    #[serde(default, rename = "local_follow")]
    _local_follow: Option<bool>,
    #[serde(default, rename = "decrypt")]
    _decrypt: Option<bool>,
    #[serde(default, rename = "newline_sequence")]
    _newline_sequence: Option<String>,
    #[serde(default, rename = "output_encoding")]
    _output_encoding: Option<String>,
    #[serde(default, rename = "trim_blocks")]
    _trim_blocks: Option<bool>,
    #[serde(default, rename = "lstrip_blocks")]
    _lstrip_blocks: Option<bool>,
    #[serde(default, rename = "block_start_string")]
    _block_start: Option<String>,
    #[serde(default, rename = "block_end_string")]
    _block_end: Option<String>,
    #[serde(default, rename = "variable_start_string")]
    _variable_start: Option<String>,
    #[serde(default, rename = "variable_end_string")]
    _variable_end: Option<String>,
    #[serde(default, rename = "comment_start_string")]
    _comment_start: Option<String>,
    #[serde(default, rename = "comment_end_string")]
    _comment_end: Option<String>,
}

/// Where a file's content comes from.
#[derive(Debug, Clone)]
enum Source {
    Bytes(Vec<u8>),
    Blob(String),
    File(PathBuf, FileStat),
    Directory(FileStat),
}

/// One path to put in place.
pub(super) struct Item {
    to: PathBuf,
    source: Source,
    sha256: String,
    same: bool,
    /// The old content where it is small enough for a textual difference.
    old: Option<Vec<u8>>,
    /// The new content likewise.
    new: Option<Vec<u8>>,
    old_sha256: Option<String>,
    found: Found,
    sha1: Option<String>,
}

/// What was found.
pub(super) struct Plan {
    items: Vec<Item>,
    /// Directories that the trailing slash of `dest` asks for, the uppermost first.
    folders: Vec<PathBuf>,
    /// `force: false` and something is there.
    kept: bool,
}

impl Params {
    fn source(&self, host: &dyn HostView) -> Result<Source, ModuleError> {
        match (&self.content, &self._blob, &self.src) {
            (Some(content), None, _) => Ok(Source::Bytes(bytes_of(content))),
            (None, Some(blob), _) => Ok(Source::Blob(blob.clone())),
            (Some(_), Some(_), _) => Err(ModuleError::Invalid("content and _blob exclude each other".to_owned())),
            (None, None, Some(src)) if self.remote_src => {
                let path = paths::absolute(host, src)?;
                match host.stat(&path, true)? {
                    None => Err(ModuleError::Invalid(format!("{} does not exist on the host", path.display()))),
                    Some(stat) if stat.kind == FileKind::Directory => Ok(Source::Directory(stat)),
                    Some(stat) => Ok(Source::File(path, stat)),
                }
            }
            (None, None, Some(src)) => {
                Err(ModuleError::Invalid(format!("{src} was not sent with the task (a fault of the controller)")))
            }
            (None, None, None) => Err(ModuleError::Invalid("one of src and content is needed".to_owned())),
        }
    }

    /// The source's own name, for a `dest` that is a directory.
    fn name(&self) -> Option<String> {
        let of = |path: &String| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        self._name.clone().or_else(|| self.src.as_ref().and_then(of))
    }

    fn asked<'a>(&'a self, mode: &'a Option<String>) -> Asked<'a> {
        Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: mode.as_deref() }
    }

    /// The mode of one item: the task's, the source's with `preserve`, or for directories `directory_mode`.
    fn mode_of(&self, source: &Source) -> Result<Option<String>, ModuleError> {
        match (source, self.mode.as_deref()) {
            (Source::Directory(stat), Some("preserve")) => {
                Ok(self.directory_mode.clone().or_else(|| Some(mode::show(stat.mode))))
            }
            (Source::Directory(_), _) => Ok(self.directory_mode.clone()),
            (Source::File(_, stat), Some("preserve")) => Ok(Some(mode::show(stat.mode))),
            (Source::Bytes(_) | Source::Blob(_), Some("preserve")) => match &self._mode {
                Some(mode) => Ok(Some(mode.clone())),
                None => Err(ModuleError::Invalid("mode: preserve needs a src".to_owned())),
            },
            (Source::Bytes(_) | Source::Blob(_) | Source::File(..), mode) => Ok(mode.map(ToOwned::to_owned)),
        }
    }
}

/// `content` of any kind as bytes: a text as it is, a mapping or list as JSON.
fn bytes_of(content: &Value) -> Vec<u8> {
    text(content).unwrap_or_else(|| content.to_string()).into_bytes()
}

impl Module for Copy {
    type Params = Params;
    type State = Plan;

    fn doc(&self) -> ModuleDoc {
        let template = self.name == "template";
        ModuleDoc {
            name: self.name.into(),
            summary: if template { "Renders a template into a file" } else { "Puts a file in place" }.into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(template),
            returns: vec![
                returns("dest", "the file's path"),
                returns("src", "the source as the task gave it"),
                returns("checksum", "SHA-1 of the content, as Ansible has it; not for security"),
                returns("sha256", "SHA-256 of the content"),
                returns("backup_file", "the path of the copy that was kept"),
                returns("mode", "the permissions, octal; likewise owner, group, uid, gid, size and state"),
            ],
            examples: if template {
                include_str!("examples/template.yaml").into()
            } else {
                include_str!("examples/copy.yaml").into()
            },
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Plan, ModuleError> {
        let source = params.source(host)?;
        let dest = paths::absolute(host, &params.dest)?;
        let there = host.stat(&dest, true)?;
        let is_folder = there.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory);
        let wants_folder = params.dest.ends_with('/');
        let mut plan = Plan { items: Vec::new(), folders: Vec::new(), kept: false };
        if let Source::Directory(stat) = source {
            let src = paths::absolute(host, params.src.as_deref().unwrap_or_default())?;
            let contents_only = params.src.as_ref().is_some_and(|src| src.ends_with('/'));
            let top = if contents_only { dest.clone() } else { dest.join(src.file_name().unwrap_or_default()) };
            self.tree(host, params, (src, stat), &top, &mut plan, 0)?;
            return Ok(plan);
        }
        if wants_folder && !is_folder {
            plan.folders = missing(host, &dest)?;
        }
        let to = if is_folder || wants_folder {
            let name = params.name().ok_or_else(|| {
                ModuleError::Invalid(format!("dest {} is a directory, and content has no name", dest.display()))
            })?;
            dest.join(name)
        } else {
            dest
        };
        let to = if params.follow { edit::resolve(host, &to)? } else { to };
        plan.kept = !params.force && host.stat(&to, false)?.is_some();
        plan.items.push(item(host, params, source, to)?);
        Ok(plan)
    }

    fn diff(&self, params: &Params, state: &Plan) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        if state.kept {
            return Ok(changes);
        }
        for folder in &state.folders {
            changes.push(Change::new(folder.display().to_string(), "state", "absent", "directory"));
        }
        for item in &state.items {
            let mode = params.mode_of(&item.source)?;
            let directory = matches!(item.source, Source::Directory(_));
            if !item.same {
                changes.push(item.change());
            }
            params.asked(&mode).differs(&item.to, &item.found, directory, &mut changes)?;
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Plan,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let mut applied = Applied::new();
        let validate = edit::validation(params.validate.as_deref())?;
        let mut numbers = Vec::new();
        for item in &state.items {
            let mode = params.mode_of(&item.source)?;
            let directory = matches!(item.source, Source::Directory(_));
            numbers.push(params.asked(&mode).numbers(&item.found, directory)?);
        }
        for folder in &state.folders {
            let mode = params.directory_mode.as_deref().map(|text| mode::resolve(text, 0o755, true));
            let mode = mode.transpose().map_err(ModuleError::Invalid)?;
            let owner = numbers.first().copied().unwrap_or_default();
            host.make_dir(folder, Attributes { mode, ..owner })?;
        }
        for (item, numbers) in state.items.iter().zip(numbers) {
            if let Some(copy) = item.install(host, numbers, params.backup, &validate)? {
                applied.insert("backup_file".into(), copy.display().to_string().into());
            }
        }
        Ok(applied)
    }

    fn found(&self, params: &Params, state: &Plan) -> Map {
        let mut data = Map::new();
        let Some(item) = state.items.first() else { return data };
        data.insert("dest".into(), item.to.display().to_string().into());
        if let Some(src) = &params.src {
            data.insert("src".into(), src.as_str().into());
        }
        if let Some(sha1) = &item.sha1 {
            data.insert("checksum".into(), sha1.as_str().into());
        }
        if !item.sha256.is_empty() {
            data.insert("sha256".into(), item.sha256.as_str().into());
        }
        if state.kept {
            data.insert("msg".into(), "file already exists".into());
        }
        item.found.describe(&mut data);
        data
    }
}

impl Copy {
    /// A directory of the host with all that is in it.
    fn tree(
        &self,
        host: &dyn HostView,
        params: &Params,
        (from, stat): (PathBuf, FileStat),
        to: &Path,
        plan: &mut Plan,
        depth: usize,
    ) -> Result<(), ModuleError> {
        if depth > DEPTH {
            return Err(ModuleError::Invalid(format!("{} is more than {DEPTH} directories deep", from.display())));
        }
        plan.items.push(item(host, params, Source::Directory(stat), to.to_owned())?);
        for name in host.list(&from)?.unwrap_or_default() {
            let (source, target) = (from.join(&name), to.join(&name));
            let Some(stat) = host.stat(&source, true)? else { continue };
            match stat.kind {
                FileKind::Directory => self.tree(host, params, (source, stat), &target, plan, depth + 1)?,
                FileKind::File if !params.force && host.stat(&target, false)?.is_some() => {}
                FileKind::File => plan.items.push(item(host, params, Source::File(source, stat), target)?),
                FileKind::Link | FileKind::Block | FileKind::Char | FileKind::Fifo | FileKind::Socket => {
                    return Err(ModuleError::Invalid(format!(
                        "{} is a {}; only files and directories are copied",
                        source.display(),
                        stat.kind.word()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Compares one path with what it shall be.
fn item(host: &dyn HostView, params: &Params, source: Source, to: PathBuf) -> Result<Item, ModuleError> {
    let stat = host.stat(&to, false)?;
    let kind = stat.as_ref().map(|stat| stat.kind);
    let directory = matches!(source, Source::Directory(_));
    if !directory && kind == Some(FileKind::Directory) {
        return Err(ModuleError::Invalid(format!("{} is a directory, not a file", to.display())));
    }
    if directory && kind.is_some_and(|kind| kind != FileKind::Directory) {
        return Err(ModuleError::Invalid(format!("{} is no directory", to.display())));
    }
    let mode = params.mode_of(&source)?;
    let is_file = kind == Some(FileKind::File);
    let old_size = if is_file { stat.as_ref().map(|stat| stat.size) } else { None };
    // What replaces a link starts anew; the link's own mode and owner say nothing.
    let found = params.asked(&mode).look(host, stat.filter(|stat| stat.kind != FileKind::Link))?;
    let mut item = Item {
        same: directory && kind.is_some(),
        sha256: String::new(),
        sha1: params._sha1.clone(),
        old: None,
        new: None,
        old_sha256: None,
        found,
        source,
        to,
    };
    let Some(size) = item.measure(host, params)? else { return Ok(item) };
    let small = |size: Option<u64>| size.is_some_and(|size| size <= difference::READ_LIMIT);
    if small(old_size) {
        item.old = host.read(&item.to, difference::READ_LIMIT)?;
        item.old_sha256 = item.old.as_deref().map(difference::sha256);
    } else if old_size == Some(size) {
        // Only a file of the same size can be the same: no other is worth reading.
        item.old_sha256 = host.sha256(&item.to)?;
    }
    item.same = item.old_sha256.as_deref() == Some(item.sha256.as_str());
    if !item.same && small(Some(size)) {
        item.new = match &item.source {
            Source::Bytes(bytes) => Some(bytes.clone()),
            Source::Blob(blob) => Some(host.read_blob(blob, difference::READ_LIMIT)?),
            Source::File(path, _) => host.read(path, difference::READ_LIMIT)?,
            Source::Directory(_) => None,
        };
    }
    Ok(item)
}

impl Item {
    /// Finds the content's size and hashes; none for a directory.
    fn measure(&mut self, host: &dyn HostView, params: &Params) -> Result<Option<u64>, ModuleError> {
        let (size, sha256, sha1) = match &self.source {
            Source::Directory(_) => return Ok(None),
            Source::Bytes(bytes) => (bytes.len() as u64, difference::sha256(bytes), Some(difference::sha1(bytes))),
            Source::Blob(blob) => {
                let size = host.blob_size(blob)?;
                let size = size.ok_or_else(|| crate::host::HostError::NoBlob { sha256: blob.clone() })?;
                let sha1 = if size <= SHA1_LIMIT && self.sha1.is_none() {
                    Some(difference::sha1(&host.read_blob(blob, SHA1_LIMIT)?))
                } else {
                    None
                };
                (size, blob.clone(), sha1)
            }
            Source::File(path, stat) => {
                let sha256 = host.sha256(path)?.unwrap_or_default();
                let sha1 = if stat.size <= SHA1_LIMIT { host.digest(path, Digest::Sha1)? } else { None };
                (stat.size, sha256, sha1)
            }
        };
        self.sha1 = self.sha1.take().or(sha1);
        self.sha256 = sha256;
        if let (Some(wanted), Some(got)) = (&params.checksum, &self.sha1)
            && wanted != got
        {
            return Err(ModuleError::Invalid(format!("the content has checksum {got}, not {wanted} as the task says")));
        }
        Ok(Some(size))
    }

    fn change(&self) -> Change {
        let object = self.to.display().to_string();
        if matches!(self.source, Source::Directory(_)) {
            return Change::new(object, "state", "absent", "directory");
        }
        if let Some(new) = &self.new {
            return difference::content(&self.to, self.old.as_deref(), new);
        }
        let hash = |sha256: &String| format!("sha256:{sha256}");
        let from = match (&self.old_sha256, &self.found.stat) {
            (Some(sha256), _) => hash(sha256).into(),
            (None, Some(stat)) => format!("{} bytes", stat.size).into(),
            (None, None) => Value::Null,
        };
        Change::new(object, "content", from, hash(&self.sha256))
    }

    /// Puts the item in place, or only its attributes where the content is right; gives the backup's path.
    fn install(
        &self,
        host: &dyn Host,
        numbers: Attributes,
        backup: bool,
        validate: &[String],
    ) -> Result<Option<PathBuf>, ModuleError> {
        if self.same {
            host.set_attributes(&self.to, numbers, false)?;
            return Ok(None);
        }
        let content = match &self.source {
            Source::Directory(_) => {
                host.make_dir(&self.to, numbers)?;
                return Ok(None);
            }
            Source::Bytes(bytes) => Content::Bytes(bytes),
            Source::Blob(blob) => Content::Blob(blob),
            Source::File(path, _) => Content::File(path),
        };
        if let Some(parent) = self.to.parent()
            && host.stat(parent, true)?.is_none()
        {
            return Err(ModuleError::Invalid(format!(
                "the directory {} does not exist (a dest that ends with / would make it)",
                parent.display()
            )));
        }
        let copy = if backup && self.found.stat.is_some() { Some(host.backup(&self.to)?) } else { None };
        host.write_checked(&self.to, content, numbers, validate)?;
        Ok(copy)
    }
}

/// Directories to make so that `path` is one, the uppermost first.
fn missing(host: &dyn HostView, path: &Path) -> Result<Vec<PathBuf>, ModuleError> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        if host.stat(folder, true)?.is_some() {
            break;
        }
        missing.insert(0, folder.to_owned());
    }
    Ok(missing)
}

fn params(template: bool) -> Vec<ParamDoc> {
    let mut params = vec![
        param(
            "dest",
            ParamKind::Path,
            "Where it goes. A directory, or a path that ends with /, takes it under its own name; directories that \
             are missing before a final / are made.",
        )
        .required(),
        param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
            .default("false"),
        param("force", ParamKind::Bool, "Replace a file that differs; with false only a missing file is made.")
            .default("true"),
        param("follow", ParamKind::Bool, "Write what a link at dest points at; else the link is replaced.")
            .default("false"),
        param("validate", ParamKind::Str, edit::validate_doc()),
        param("directory_mode", ParamKind::Mode, "The mode of directories that are made."),
        param("content", ParamKind::Raw, content_doc(template)),
        param("_blob", ParamKind::Str, "Set by the controller: the content's SHA-256 in the agent's cache."),
        param("_name", ParamKind::Str, "Set by the controller: the source's own name."),
        param("_mode", ParamKind::Mode, "Set by the controller: the source's mode."),
        param("_sha1", ParamKind::Str, "Set by the controller: the content's SHA-1."),
    ];
    params.extend(attributes::params());
    if template {
        params
            .push(param("src", ParamKind::Str, "The template, looked for in the role's templates folder.").required());
        params.extend(template_params());
    } else {
        params.extend([
            param(
                "src",
                ParamKind::Str,
                "The file, looked for in the role's files folder; with remote_src on the host.",
            ),
            param("remote_src", ParamKind::Bool, "src is a file or directory of the host.").default("false"),
            param("checksum", ParamKind::Str, "The SHA-1 that the content must have."),
            param("local_follow", ParamKind::Bool, "Follow links in a src directory of the controller.")
                .default("true"),
            param("decrypt", ParamKind::Bool, "Decrypt a src that is a vault.").default("true"),
        ]);
    }
    params
}

fn content_doc(template: bool) -> &'static str {
    if template {
        "Set by the controller: the rendered text."
    } else {
        "The content itself, in place of src; a mapping or list becomes JSON."
    }
}

/// What the controller reads when it renders.
fn template_params() -> Vec<ParamDoc> {
    vec![
        param("newline_sequence", ParamKind::Str, "How lines end.").choices(&["\n", "\r", "\r\n"]).default("\"\\n\""),
        param("output_encoding", ParamKind::Str, "The encoding of the file.").choices(&["utf-8"]).default("utf-8"),
        param("trim_blocks", ParamKind::Bool, "Drop the newline after a block tag.").default("true"),
        param("lstrip_blocks", ParamKind::Bool, "Drop the blanks before a block tag.").default("false"),
        param("block_start_string", ParamKind::Str, "How a block tag begins.").default("\"{%\""),
        param("block_end_string", ParamKind::Str, "How a block tag ends.").default("\"%}\""),
        param("variable_start_string", ParamKind::Str, "How an expression begins.").default("\"{{\""),
        param("variable_end_string", ParamKind::Str, "How an expression ends.").default("\"}}\""),
        param("comment_start_string", ParamKind::Str, "How a comment begins.").default("\"{#\""),
        param("comment_end_string", ParamKind::Str, "How a comment ends.").default("\"#}\""),
    ]
}
