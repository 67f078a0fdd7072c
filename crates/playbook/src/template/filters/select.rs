//! Filters that apply another filter or test to each item.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::predicates;
use super::super::value::Value;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("map", map),
    filter("select", |interp, args| choose(interp, args, false, true)),
    filter("reject", |interp, args| choose(interp, args, false, false)),
    filter("selectattr", |interp, args| choose(interp, args, true, true)),
    filter("rejectattr", |interp, args| choose(interp, args, true, false)),
    filter("attr", attr),
];

fn map(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let items = interp.items(&input)?;
    if args.positional.is_empty() {
        let attribute = args.take_named("attribute");
        let default = args.take_named("default");
        args.none()?;
        let Some(attribute) = attribute else {
            return Err(TemplateError::failed("needs the name of a filter, or `attribute=`"));
        };
        let mut mapped = Vec::with_capacity(items.len());
        for item in items {
            let member = interp.path(&item, &attribute)?;
            mapped.push(match (&member, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => member,
            });
        }
        return Ok(Value::list(mapped));
    }
    let name = args.positional.remove(0);
    let name = interp.text(&name)?;
    let mut mapped = Vec::with_capacity(items.len());
    for item in items {
        let mut positional = Vec::with_capacity(args.positional.len() + 1);
        positional.push(item);
        positional.extend(args.positional.iter().cloned());
        mapped.push(super::apply(interp, &name, Args { positional, named: args.named.clone() })?);
    }
    Ok(Value::list(mapped))
}

fn choose(interp: &mut Interp<'_>, args: Args, by_attribute: bool, keep: bool) -> Result<Value> {
    let (input, mut args) = args.input();
    let attribute = match by_attribute {
        true if args.positional.is_empty() => return Err(TemplateError::failed("needs the name of an attribute")),
        true => Some(args.positional.remove(0)),
        false => None,
    };
    let test = match args.positional.is_empty() {
        true => None,
        false => {
            let name = args.positional.remove(0);
            let name = interp.text(&name)?;
            Some(predicates::find(&name).ok_or_else(|| predicates::unknown(&name))?)
        }
    };
    let items = if input.is_none() { Vec::new() } else { interp.items(&input)? };
    let mut chosen = Vec::new();
    for item in items {
        let judged = match &attribute {
            Some(attribute) => interp.path(&item, attribute)?,
            None => item.clone(),
        };
        let verdict = match test {
            Some(test) => {
                let mut positional = vec![judged];
                positional.extend(args.positional.iter().cloned());
                interp.run_test(test, Args { positional, named: args.named.clone() })?
            }
            None => interp.truth(&judged)?,
        };
        if verdict == keep {
            chosen.push(item);
        }
    }
    Ok(Value::list(chosen))
}

fn attr(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let name = args.one("name")?;
    let name = interp.text(&name)?;
    interp.attr(&input, &name.into())
}
