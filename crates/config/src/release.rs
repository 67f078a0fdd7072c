//! Releases, as far as configuration depends on them: `3.9`, of `3.9.1`.

use std::fmt;
use std::str::FromStr;

/// A release by its first two numbers. Bug-fix releases change no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

/// A text is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a release such as 3.9.1")]
pub struct ReleaseError(String);

impl Release {
    /// The release of these two numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl FromStr for Release {
    type Err = ReleaseError;

    /// Takes `3.9`, `3.9.1`, and what vendors add (`3.9.1-rc2`, `7.5.1-ccs` is read as 7.5).
    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let number = |part: Option<&str>| {
            let part = part?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        };
        let mut parts = text.trim().split('.');
        match (number(parts.next()), number(parts.next())) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            (Some(_) | None, _) => Err(ReleaseError(text.to_owned())),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_in_every_form() {
        for (text, wanted) in [
            ("3.9.1", Some(Release::new(3, 9))),
            ("3.10", Some(Release::new(3, 10))),
            (" 4.1.1-rc2 ", Some(Release::new(4, 1))),
            ("3.9-IV0", Some(Release::new(3, 9))),
            ("4", None),
            ("x.y", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), wanted, "{text}");
        }
        assert!(Release::new(3, 10) > Release::new(3, 9), "numbers are compared, not texts");
    }
}
