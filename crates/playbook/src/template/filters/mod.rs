//! Filters: one table per subject, found by name with or without `ansible.builtin.` in front.
//!
//! To add one, write its function and one line in the table of its file.

mod dates;
mod dicts;
mod encode;
mod json_text;
mod lists;
mod logic;
mod numbers;
mod paths;
mod regexes;
mod select;
mod sets;
mod text;
mod url;
mod yaml_text;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::error::{ErrorKind, Result, TemplateError, nearest};
use super::eval::{Args, Interp};
use super::value::Value;

pub(super) use self::dates::{civil, format as format_moment};
pub(super) use self::lists::{cartesian, draw, pairs_below};
pub(super) use self::numbers::{to_bool, whole_number};
pub(super) use self::regexes::Flags;

/// A filter: its name, and what it does with its input and arguments.
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Interp<'_>, Args) -> Result<Value>,
    /// Its input may be something that is not there.
    pub(super) takes_missing: bool,
}

const fn filter(name: &'static str, run: fn(&mut Interp<'_>, Args) -> Result<Value>) -> Filter {
    Filter { name, run, takes_missing: false }
}

const fn lenient(name: &'static str, run: fn(&mut Interp<'_>, Args) -> Result<Value>) -> Filter {
    Filter { name, run, takes_missing: true }
}

static ALL: LazyLock<HashMap<&'static str, &'static Filter>> = LazyLock::new(|| {
    let tables: [&'static [Filter]; 14] = [
        dates::FILTERS,
        dicts::FILTERS,
        encode::FILTERS,
        json_text::FILTERS,
        lists::FILTERS,
        logic::FILTERS,
        numbers::FILTERS,
        paths::FILTERS,
        regexes::FILTERS,
        select::FILTERS,
        sets::FILTERS,
        text::FILTERS,
        url::FILTERS,
        yaml_text::FILTERS,
    ];
    tables.into_iter().flatten().map(|filter| (filter.name, filter)).collect()
});

/// The name without the collection that ansible-core's own filters may be written with.
pub(super) fn short_name(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

pub(super) fn find(name: &str) -> Option<&'static Filter> {
    ALL.get(short_name(name)).copied()
}

/// The error of using a filter that does not exist.
pub(super) fn unknown(name: &str) -> Box<TemplateError> {
    let error = TemplateError::new(ErrorKind::UnknownFilter, format!("there is no filter `{name}`"));
    if let Some((collection, _)) = name.rsplit_once('.')
        && short_name(name) == name
    {
        return error.hinted(format!("filters of the collection `{collection}` are not part of kfleet"));
    }
    match nearest(short_name(name), ALL.keys().copied()) {
        Some(near) => error.hinted(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Runs a filter by name on a value, as `map('name', ...)` does.
///
/// # Errors
/// When there is no such filter, or it refuses.
pub(super) fn apply(interp: &mut Interp<'_>, name: &str, args: Args) -> Result<Value> {
    match find(name) {
        Some(filter) => interp.run_filter(filter, args),
        None => match super::predicates::find(name) {
            Some(test) => interp.run_test(test, args).map(Value::Bool),
            None => Err(unknown(name)),
        },
    }
}
