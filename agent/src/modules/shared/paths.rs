//! Paths as a playbook gives them: `~`, and patterns where Ansible takes them.

use crate::host::{HostError, HostView};
use crate::modules::ModuleError;
use std::path::{Component, Path, PathBuf};

/// Replaces a leading `~` or `~user` by the home directory; everything else must be absolute.
///
/// # Errors
/// When the path is relative, or the user is not there.
pub(crate) fn absolute(host: &dyn HostView, text: &str) -> Result<PathBuf, ModuleError> {
    let path = expand(host, text)?;
    if !path.is_absolute() {
        return Err(ModuleError::Invalid(format!("path {text:?} is not absolute")));
    }
    // Without a slash at the end, doubled ones and single dots: one path has one spelling in changes and results.
    Ok(path.components().collect())
}

/// Replaces a leading `~` or `~user` by the home directory.
///
/// # Errors
/// When the user is not there.
pub(crate) fn expand(host: &dyn HostView, text: &str) -> Result<PathBuf, ModuleError> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(PathBuf::from(text)) };
    let (name, tail) = rest.split_once('/').unwrap_or((rest, ""));
    let name = if name.is_empty() { "root" } else { name };
    let user = host.user(name)?.ok_or_else(|| HostError::NoSuchName { kind: "user", name: name.to_owned() })?;
    Ok(if tail.is_empty() { user.home } else { user.home.join(tail) })
}

/// Whether any path matches a shell pattern (`*`, `?`, `[...]`); a text without these is a plain path.
///
/// # Errors
/// When a folder on the way can not be read.
pub(crate) fn any_exists(host: &dyn HostView, pattern: &Path) -> Result<bool, ModuleError> {
    let parts: Vec<String> = pattern
        .components()
        .filter(|part| !matches!(part, Component::RootDir))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let root = if pattern.is_absolute() { PathBuf::from("/") } else { PathBuf::new() };
    exists_below(host, &root, &parts)
}

fn exists_below(host: &dyn HostView, folder: &Path, parts: &[String]) -> Result<bool, ModuleError> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(host.stat(folder, false)?.is_some());
    };
    if !part.contains(['*', '?', '[']) {
        return exists_below(host, &folder.join(part), rest);
    }
    for name in host.list(folder)?.unwrap_or_default() {
        let hidden = name.starts_with('.') && !part.starts_with('.');
        if !hidden && matches(part, &name) && exists_below(host, &folder.join(&name), rest)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a name matches a shell pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut expression = String::from("(?s)^");
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => {
                let class: String = rest.clone().take_while(|&c| c != ']').collect();
                if class.is_empty() || rest.clone().count() == class.chars().count() {
                    expression.push_str("\\[");
                } else {
                    rest.by_ref().nth(class.chars().count());
                    let (not, class) = class.strip_prefix('!').map_or(("", class.as_str()), |class| ("^", class));
                    let class = class.replace('\\', "\\\\").replace('^', "\\^").replace('[', "\\[");
                    expression.push_str(&format!("[{not}{class}]"));
                }
            }
            c => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|expression| expression.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns_match_as_a_shell_does() {
        for (pattern, name, wanted) in [
            ("*.log", "server.log", true),
            ("*.log", "server.log.1", false),
            ("kafka-?", "kafka-1", true),
            ("kafka-?", "kafka-12", false),
            ("kafka-[0-3]", "kafka-2", true),
            ("kafka-[!0-3]", "kafka-2", false),
            ("a.b", "axb", false),
            ("[", "[", true),
            ("x[", "x[", true),
            ("ansible_*", "ansible_fqdn", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
