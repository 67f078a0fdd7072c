//! Filters that treat lists as sets; order is that of first appearance, letter case matters.

use super::super::error::Result;
use super::super::eval::{Args, Interp, required};
use super::super::value::Value;
use super::lists::Seen;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("unique", unique),
    filter("union", union),
    filter("intersect", intersect),
    filter("difference", difference),
    filter("symmetric_difference", symmetric_difference),
];

fn unique(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [case_sensitive, attribute] = args.bind(["case_sensitive", "attribute"])?;
    let case_sensitive = match case_sensitive {
        None | Some(Value::None) => false,
        Some(flag) => interp.truth(&flag)?,
    };
    let attribute = attribute.filter(|attribute| !attribute.is_none());
    let mut seen = Seen::default();
    let mut kept = Vec::new();
    for item in interp.items(&input)? {
        let key = interp.compare_key(&item, attribute.as_ref(), case_sensitive)?;
        if !seen.insert(interp, &key)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn both(interp: &mut Interp<'_>, args: Args) -> Result<(Vec<Value>, Vec<Value>)> {
    let (input, args) = args.input();
    let [other] = args.bind(["other"])?;
    Ok((interp.items(&input)?, interp.items(&required(other, "other")?)?))
}

/// The items without repetition, of those for which `wanted` holds.
fn distinct(
    interp: &mut Interp<'_>,
    items: &[Value],
    mut wanted: impl FnMut(&mut Interp<'_>, &Value) -> Result<bool>,
) -> Result<Vec<Value>> {
    let mut seen = Seen::default();
    let mut kept = Vec::new();
    for item in items {
        if wanted(interp, item)? && !seen.insert(interp, item)? {
            kept.push(item.clone());
        }
    }
    Ok(kept)
}

fn set_of(interp: &mut Interp<'_>, items: &[Value]) -> Result<Seen> {
    let mut seen = Seen::default();
    for item in items {
        seen.insert(interp, item)?;
    }
    Ok(seen)
}

fn union(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (mut a, b) = both(interp, args)?;
    a.extend(b);
    distinct(interp, &a, |_, _| Ok(true)).map(Value::list)
}

fn intersect(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (a, b) = both(interp, args)?;
    let b = set_of(interp, &b)?;
    distinct(interp, &a, |interp, item| b.contains(interp, item)).map(Value::list)
}

fn without(interp: &mut Interp<'_>, a: &[Value], b: &[Value]) -> Result<Vec<Value>> {
    let b = set_of(interp, b)?;
    distinct(interp, a, |interp, item| b.contains(interp, item).map(|found| !found))
}

fn difference(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (a, b) = both(interp, args)?;
    without(interp, &a, &b).map(Value::list)
}

fn symmetric_difference(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (a, b) = both(interp, args)?;
    let mut only = without(interp, &a, &b)?;
    only.extend(without(interp, &b, &a)?);
    Ok(Value::list(only))
}
