//! Tests, the words behind `is`; found by name with or without `ansible.builtin.` in front.
//!
//! To add one, write its function and one line in the table of its file.

mod kinds;
mod relations;
mod results;
mod version;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::error::{ErrorKind, Result, TemplateError, nearest};
use super::eval::{Args, Interp};
use super::filters::short_name;

/// A test: its name, and how it judges its input and arguments.
pub(super) struct Test {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Interp<'_>, Args) -> Result<bool>,
    /// Its input may be something that is not there.
    pub(super) takes_missing: bool,
}

pub(super) type Predicate = &'static Test;

const fn test(name: &'static str, run: fn(&mut Interp<'_>, Args) -> Result<bool>) -> Test {
    Test { name, run, takes_missing: false }
}

const fn lenient(name: &'static str, run: fn(&mut Interp<'_>, Args) -> Result<bool>) -> Test {
    Test { name, run, takes_missing: true }
}

static ALL: LazyLock<HashMap<&'static str, Predicate>> = LazyLock::new(|| {
    let tables: [&'static [Test]; 4] = [kinds::TESTS, relations::TESTS, results::TESTS, version::TESTS];
    tables.into_iter().flatten().map(|test| (test.name, test)).collect()
});

pub(super) fn find(name: &str) -> Option<Predicate> {
    ALL.get(short_name(name)).copied()
}

/// The error of using a test that does not exist.
pub(super) fn unknown(name: &str) -> Box<TemplateError> {
    let error = TemplateError::new(ErrorKind::UnknownTest, format!("there is no test `{name}`"));
    match nearest(short_name(name), ALL.keys().copied()) {
        Some(near) => error.hinted(format!("did you mean `{near}`?")),
        None => error,
    }
}
