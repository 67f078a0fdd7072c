//! Filters on paths: text in, text out; none of them looks at a file system.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::lookups;
use super::super::value::Value;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("basename", |interp, args| simple(interp, args, |path| split(path).1.to_owned())),
    filter("dirname", |interp, args| simple(interp, args, |path| split(path).0.to_owned())),
    filter("normpath", |interp, args| simple(interp, args, normal)),
    filter("splitext", splitext),
    filter("path_join", path_join),
    filter("relpath", relpath),
    filter("commonpath", commonpath),
    filter("expanduser", world),
    filter("expandvars", world),
    filter("realpath", world),
    filter("fileglob", fileglob),
    filter("win_basename", |interp, args| simple(interp, args, |path| win_split(path).1.to_owned())),
    filter("win_dirname", |interp, args| simple(interp, args, |path| win_split(path).0.to_owned())),
    filter("win_splitdrive", win_splitdrive),
];

fn simple(interp: &mut Interp<'_>, args: Args, change: impl Fn(&str) -> String) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(Value::str(change(&interp.text(&input)?)))
}

/// What comes before and after the last slash.
fn split(path: &str) -> (&str, &str) {
    let Some(at) = path.rfind('/') else { return ("", path) };
    let (head, tail) = (&path[..=at], &path[at + 1..]);
    let trimmed = head.trim_end_matches('/');
    (if trimmed.is_empty() { head } else { trimmed }, tail)
}

fn normal(path: &str) -> String {
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        // POSIX keeps exactly two leading slashes apart.
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if !root.is_empty() => {}
            _ => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

fn splitext(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let path = interp.text(&input)?;
    let start = path.rfind('/').map_or(0, |at| at + 1);
    let dots = path[start..].len() - path[start..].trim_start_matches('.').len();
    let at = path[start + dots..].rfind('.').map_or(path.len(), |at| start + dots + at);
    Ok(Value::tuple(vec![Value::str(&path[..at]), Value::str(&path[at..])]))
}

fn path_join(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let parts = if input.is_list() { interp.items(&input)? } else { vec![input] };
    let mut path = String::new();
    for part in &parts {
        let part = interp.text(part)?;
        if part.starts_with('/') {
            path = part;
        } else {
            path.push_str(if path.is_empty() || path.ends_with('/') { "" } else { "/" });
            path.push_str(&part);
        }
    }
    Ok(Value::str(path))
}

fn relpath(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [start] = args.bind(["start"])?;
    let path = normal(&interp.text(&input)?);
    let start = normal(&interp.arg_text(start, "start")?);
    if path.starts_with('/') != start.starts_with('/') {
        return Err(TemplateError::failed(format!("`{path}` and `{start}` must both be absolute, or neither")));
    }
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let (path, start) = (parts(&path), parts(&start));
    let same = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), start.len() - same);
    let relative: Vec<_> = up.chain(path[same..].iter().cloned()).collect();
    Ok(Value::str(if relative.is_empty() { ".".to_owned() } else { relative.join("/") }))
}

fn commonpath(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let mut paths = Vec::new();
    for path in interp.items(&input)? {
        paths.push(interp.text(&path)?);
    }
    let Some(first) = paths.first() else { return Err(TemplateError::failed("needs at least one path")) };
    let absolute = first.starts_with('/');
    if paths.iter().any(|path| path.starts_with('/') != absolute) {
        return Err(TemplateError::failed("can not mix absolute and relative paths"));
    }
    let split = |path: &String| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let mut common = split(first);
    for path in &paths[1..] {
        let same = common.iter().zip(split(path)).take_while(|(a, b)| *a == b).count();
        common.truncate(same);
    }
    Ok(Value::str(format!("{}{}", if absolute { "/" } else { "" }, common.join("/"))))
}

fn world(_: &mut Interp<'_>, _: Args) -> Result<Value> {
    Err(TemplateError::failed("would depend on the machine that renders, so kfleet does not have it")
        .hinted("use `lookup('env', 'HOME')` or an absolute path"))
}

fn fileglob(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    lookups::run(interp, "fileglob", vec![input], Vec::new()).map(Value::list)
}

fn win_split(path: &str) -> (&str, &str) {
    let (drive, rest) = win_drive(path);
    let Some(at) = rest.rfind(['\\', '/']) else { return (drive, rest) };
    let head = rest[..=at].trim_end_matches(['\\', '/']);
    let kept = if head.is_empty() { at + 1 } else { head.len() };
    (&path[..drive.len() + kept], &rest[at + 1..])
}

fn win_drive(path: &str) -> (&str, &str) {
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => path.split_at(2),
        _ => ("", path),
    }
}

fn win_splitdrive(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let path = required(args.positional.into_iter().next(), "path")?;
    let path = interp.text(&path)?;
    let (drive, rest) = win_drive(&path);
    Ok(Value::tuple(vec![Value::str(drive), Value::str(rest)]))
}
