//! Comparison of versions, loosely as Python's `LooseVersion` or strictly as its relatives do.

use std::cmp::Ordering;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::{Test, test};

pub(super) const TESTS: &[Test] = &[test("version", version), test("version_compare", version)];

fn version(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    let (input, args) = args.input();
    let [other, operator, strict, kind] = args.bind(["version", "operator", "strict", "version_type"])?;
    let left = interp.text(&input)?;
    let right = interp.text(&required(other, "version")?)?;
    let operator = interp.arg_text_or(operator, "eq")?;
    let strict = match strict {
        Some(strict) if !strict.is_none() => interp.truth(&strict)?,
        _ => false,
    };
    let kind = interp.arg_text_or(kind, if strict { "strict" } else { "loose" })?;
    for (side, text) in [("tested", &left), ("given", &right)] {
        if text.is_empty() {
            return Err(TemplateError::failed(format!("the {side} version is empty")));
        }
    }
    let ordering = match kind.as_str() {
        "loose" => loose(&left).partial_cmp_with(&loose(&right)).ok_or_else(|| {
            TemplateError::failed(format!("`{left}` and `{right}` mix numbers and words in the same place"))
                .hinted("give version_type='semver' or compare parts of them")
        })?,
        "strict" => strict_parts(&left)?.cmp(&strict_parts(&right)?),
        "semver" | "semantic" => semantic(&left)?.cmp(&semantic(&right)?),
        "pep440" => pep440(&left)?.cmp(&pep440(&right)?),
        other => {
            return Err(TemplateError::failed(format!(
                "`version_type` is loose, strict, semver or pep440, not `{other}`"
            )));
        }
    };
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => ordering.is_eq(),
        "!=" | "<>" | "ne" => ordering.is_ne(),
        "<" | "lt" => ordering.is_lt(),
        "<=" | "le" => ordering.is_le(),
        ">" | "gt" => ordering.is_gt(),
        ">=" | "ge" => ordering.is_ge(),
        other => {
            return Err(TemplateError::failed(format!("compares by ==, !=, <, <=, > or >=, not `{other}`")));
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Number(u128),
    Word(String),
}

struct Loose(Vec<Part>);

impl Loose {
    /// The order of two loose versions, or nothing when a number meets a word.
    fn partial_cmp_with(&self, other: &Self) -> Option<Ordering> {
        for (a, b) in self.0.iter().zip(&other.0) {
            let ordering = match (a, b) {
                (Part::Number(a), Part::Number(b)) => a.cmp(b),
                (Part::Word(a), Part::Word(b)) => a.cmp(b),
                _ => return None,
            };
            if ordering.is_ne() {
                return Some(ordering);
            }
        }
        Some(self.0.len().cmp(&other.0.len()))
    }
}

/// Runs of digits, runs of lower-case letters, and whatever else stands between dots.
fn loose(text: &str) -> Loose {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let length = if c.is_ascii_digit() {
            run(|c| c.is_ascii_digit())
        } else if c.is_ascii_lowercase() {
            run(|c| c.is_ascii_lowercase())
        } else if c == '.' {
            rest = &rest[1..];
            continue;
        } else {
            run(|c| !c.is_ascii_digit() && !c.is_ascii_lowercase() && c != '.')
        };
        let part = &rest[..length];
        parts.push(part.parse().map_or_else(|_| Part::Word(part.to_owned()), Part::Number));
        rest = &rest[length..];
    }
    Loose(parts)
}

/// `1.2`, `1.2.3`, `1.2.3a4`.
fn strict_parts(text: &str) -> Result<(Vec<u64>, u8, u64)> {
    let refuse = || TemplateError::failed(format!("`{text}` is not a strict version such as 1.2.3 or 1.2b1"));
    let (numbers, tag) = match text.find(['a', 'b']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut parts: Vec<u64> =
        numbers.split('.').map(|part| part.parse().map_err(|_| refuse())).collect::<Result<_>>()?;
    if !(2..=3).contains(&parts.len()) {
        return Err(refuse());
    }
    parts.resize(3, 0);
    // A version without a tag comes after all its pre-releases.
    let (rank, number) = match tag.chars().next() {
        None => (2, 0),
        Some(letter) => (u8::from(letter == 'b'), tag[1..].parse().map_err(|_| refuse())?),
    };
    Ok((parts, rank, number))
}

/// Precedence of semantic versioning 2.0: build metadata does not count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Semantic {
    numbers: [u64; 3],
    /// A release comes after its pre-releases.
    release: bool,
    pre: Vec<PreRelease>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PreRelease {
    Number(u64),
    Word(String),
}

fn semantic(text: &str) -> Result<Semantic> {
    let refuse = || TemplateError::failed(format!("`{text}` is not a semantic version such as 1.2.3-rc.1"));
    let core = text.split('+').next().unwrap_or_default();
    let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
    let numbers: Vec<u64> = core.split('.').map(|part| part.parse().map_err(|_| refuse())).collect::<Result<_>>()?;
    let numbers = <[u64; 3]>::try_from(numbers).map_err(|_| refuse())?;
    let part = |part: &str| part.parse().map_or_else(|_| PreRelease::Word(part.to_owned()), PreRelease::Number);
    let release = pre.is_none();
    Ok(Semantic { numbers, release, pre: pre.map(|pre| pre.split('.').map(part).collect()).unwrap_or_default() })
}

/// The sort key of PEP 440 for the common forms: epoch, release, pre-, post- and development release.
type Pep440 = (u64, Vec<u64>, (i8, u64), u64, u64);

fn pep440(text: &str) -> Result<Pep440> {
    let refuse = || TemplateError::failed(format!("`{text}` is not a version by PEP 440"));
    let lower = text.trim().to_lowercase();
    let public = lower.trim_start_matches('v').split('+').next().unwrap_or_default();
    let (epoch, rest) = public.split_once('!').unwrap_or(("0", public));
    let epoch = epoch.parse().map_err(|_| refuse())?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (release, mut tags) = rest.split_at(end);
    let release = release.trim_end_matches('.');
    let mut numbers: Vec<u64> =
        release.split('.').map(|part| part.parse().map_err(|_| refuse())).collect::<Result<_>>()?;
    while numbers.len() > 1 && numbers.last() == Some(&0) {
        numbers.pop();
    }
    let (mut pre, mut post, mut dev) = (None, 0, None);
    while !tags.is_empty() {
        tags = tags.trim_start_matches(['.', '-', '_']);
        let letters = tags.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tags.len());
        let (tag, rest) = tags.split_at(letters);
        let rest = rest.trim_start_matches(['.', '-', '_']);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = if digits == 0 { 0 } else { rest[..digits].parse().map_err(|_| refuse())? };
        match tag {
            "a" | "alpha" => pre = Some((-3, number)),
            "b" | "beta" => pre = Some((-2, number)),
            "c" | "rc" | "pre" | "preview" => pre = Some((-1, number)),
            "post" | "rev" | "r" | "" if digits > 0 || !tag.is_empty() => post = number + 1,
            "dev" => dev = Some(number),
            _ => return Err(refuse()),
        }
        tags = &rest[digits..];
    }
    // A development release alone comes before every pre-release of its version.
    let pre = pre.unwrap_or(if dev.is_some() && post == 0 { (-4, 0) } else { (0, 0) });
    Ok((epoch, numbers, pre, post, dev.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_versions_order_by_runs_of_digits_and_letters() {
        for (a, b, expected) in [
            ("1.10", "1.9", Some(Ordering::Greater)),
            ("2.13-3.8.0", "2.13-3.7.1", Some(Ordering::Greater)),
            ("1.0", "1.0.0", Some(Ordering::Less)),
            ("1.0rc1", "1.0", Some(Ordering::Greater)),
            ("8", "8", Some(Ordering::Equal)),
            ("1.a", "1.1", None),
        ] {
            assert_eq!(loose(a).partial_cmp_with(&loose(b)), expected, "{a} and {b}");
        }
    }

    #[test]
    fn semantic_and_pep440_versions_know_pre_releases() {
        assert!(semantic("1.0.0-rc.1").unwrap() < semantic("1.0.0").unwrap());
        assert!(semantic("1.0.0-alpha.2").unwrap() < semantic("1.0.0-alpha.10").unwrap());
        assert!(semantic("1.0").is_err());
        assert!(pep440("1.0.dev1").unwrap() < pep440("1.0a1").unwrap());
        assert!(pep440("1.0rc1").unwrap() < pep440("1.0").unwrap());
        assert!(pep440("1.0").unwrap() < pep440("1.0.post1").unwrap());
        assert_eq!(pep440("1.0").unwrap(), pep440("1.0.0").unwrap());
        assert!(strict_parts("1.2a1").unwrap() < strict_parts("1.2").unwrap());
    }
}
