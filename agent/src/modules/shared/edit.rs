//! Editing a text file in place: what `lineinfile`, `blockinfile` and `replace` have in common.
//!
//! The file that a link points at is edited, as in Ansible; the edited file replaces the old one as a whole.

use super::attributes::{Asked, Found, params as attribute_params};
use super::{difference, paths};
use crate::host::{Content, FileKind, Host, HostView};
use crate::modules::ModuleError;
use kfleet_model::module::{ParamDoc, ParamKind, param};
use kfleet_model::{Change, Map};
use std::path::{Path, PathBuf};

/// The largest file that is edited: a configuration file is never near it, a log file may be.
const LIMIT: u64 = 64 * 1024 * 1024;

/// How many links are followed to the file; the kernel's own limit.
const LINKS: usize = 40;

/// The file to edit as it was found.
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) found: Found,
}

/// What all editing modules let an operator choose.
pub(crate) struct Options<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) backup: bool,
    pub(crate) validate: Option<&'a str>,
}

/// The parameters for these choices.
pub(crate) fn params() -> Vec<ParamDoc> {
    let mut params = vec![
        param("path", ParamKind::Path, "The file to edit.").required().aliases(&["dest", "destfile", "name"]),
        param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
            .default("false"),
        param("validate", ParamKind::Str, validate_doc()),
    ];
    params.extend(attribute_params());
    params
}

/// The document of `validate`, which `copy` has as well.
pub(crate) fn validate_doc() -> &'static str {
    "A command that must accept the new file before it is put in place; `%s` in it stands for the file."
}

/// Looks at the file.
pub(crate) fn open(host: &dyn HostView, path: &str, asked: Asked<'_>) -> Result<Target, ModuleError> {
    let path = resolve(host, &paths::absolute(host, path)?)?;
    let stat = host.stat(&path, true)?;
    if let Some(stat) = &stat
        && stat.kind != FileKind::File
    {
        return Err(ModuleError::Invalid(format!("{} is a {}, not a file", path.display(), stat.kind.word())));
    }
    let content = if stat.is_some() { host.read(&path, LIMIT)? } else { None };
    Ok(Target { found: asked.look(host, stat)?, path, content })
}

/// The path behind a chain of links. Where nothing is at the end, that is where the file will be made.
pub(crate) fn resolve(host: &dyn HostView, path: &Path) -> Result<PathBuf, ModuleError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match host.stat(&path, false)?.and_then(|stat| stat.target) {
            None => return Ok(path),
            Some(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
        }
    }
    Err(ModuleError::Invalid(format!("{} is at the end of too many links", path.display())))
}

/// The changes from the file as found to `wanted`.
pub(crate) fn differs(target: &Target, wanted: Option<&[u8]>, asked: Asked<'_>) -> Result<Vec<Change>, ModuleError> {
    let mut changes = Vec::new();
    let Some(wanted) = wanted else { return Ok(changes) };
    if target.content.as_deref() != Some(wanted) {
        changes.push(difference::content(&target.path, target.content.as_deref(), wanted));
    }
    asked.differs(&target.path, &target.found, false, &mut changes)?;
    Ok(changes)
}

/// Puts the wanted content in place, or only the attributes where the content is right.
pub(crate) fn install(
    host: &dyn Host,
    target: &Target,
    wanted: &[u8],
    options: &Options<'_>,
) -> Result<Map, ModuleError> {
    let mut applied = Map::new();
    let numbers = options.asked.numbers(&target.found, false)?;
    if target.content.as_deref() == Some(wanted) {
        host.set_attributes(&target.path, numbers, true)?;
        return Ok(applied);
    }
    if options.backup && target.content.is_some() {
        let copy = host.backup(&target.path)?;
        applied.insert("backup".into(), copy.display().to_string().into());
    }
    if let Some(parent) = target.path.parent()
        && host.stat(parent, true)?.is_none()
    {
        host.make_dir(parent, Default::default())?;
    }
    host.write_checked(&target.path, Content::Bytes(wanted), numbers, &validation(options.validate)?)?;
    Ok(applied)
}

/// The command of `validate`, split as a shell would.
///
/// # Errors
/// When quotes do not match or `%s` is missing.
pub(crate) fn validation(command: Option<&str>) -> Result<Vec<String>, ModuleError> {
    let Some(command) = command else { return Ok(Vec::new()) };
    if !command.contains("%s") {
        return Err(ModuleError::Invalid(format!("validate {command:?} must contain %s")));
    }
    shlex::split(command)
        .filter(|argv| !argv.is_empty())
        .ok_or_else(|| ModuleError::Invalid(format!("validate {command:?} has a quote without its other half")))
}

/// A text's lines, each with its ending.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// A line without its ending.
pub(crate) fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Puts lines together. A line in the middle without an ending gets one.
pub(crate) fn join<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for line in lines {
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
    }
    text
}
