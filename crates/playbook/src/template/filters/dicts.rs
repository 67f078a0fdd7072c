//! Filters on dicts.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::value::{Key, Map, Value, equal, order};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("combine", combine),
    filter("dict2items", dict2items),
    filter("items2dict", items2dict),
    filter("dictsort", dictsort),
    filter("items", items),
    filter("extract", extract),
    filter("rekey_on_member", rekey_on_member),
];

/// What `combine` does with two lists under the same key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

fn combine(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let mut args = args;
    let recursive = args.take_named("recursive");
    let recursive = interp.arg_flag(recursive, false)?;
    let list_merge = args.take_named("list_merge");
    let list_merge = match interp.arg_text_or(list_merge, "replace")?.as_str() {
        "replace" => ListMerge::Replace,
        "keep" => ListMerge::Keep,
        "append" => ListMerge::Append,
        "prepend" => ListMerge::Prepend,
        "append_rp" => ListMerge::AppendNew,
        "prepend_rp" => ListMerge::PrependNew,
        other => {
            let known = "replace, keep, append, prepend, append_rp, prepend_rp";
            return Err(TemplateError::failed(format!("`list_merge` is one of {known}, not `{other}`")));
        }
    };
    if let Some((name, _)) = args.named.first() {
        return Err(TemplateError::failed(format!("has no parameter `{name}`; it takes recursive and list_merge")));
    }
    let mut dicts = Vec::new();
    for value in &args.positional {
        collect_dicts(interp, value, &mut dicts)?;
    }
    let mut dicts = dicts.into_iter();
    let mut merged = dicts.next().unwrap_or_default();
    for dict in dicts {
        merged = merge(interp, merged, dict, recursive, list_merge)?;
    }
    Ok(Value::dict(merged))
}

fn collect_dicts(interp: &mut Interp<'_>, value: &Value, dicts: &mut Vec<Map>) -> Result<()> {
    if value.is_list() {
        for item in interp.items(value)? {
            interp.inside(|interp| collect_dicts(interp, &item, dicts))?;
        }
        return Ok(());
    }
    dicts.push(interp.dict(value)?.borrow().clone());
    Ok(())
}

fn merge(interp: &mut Interp<'_>, mut base: Map, over: Map, recursive: bool, lists: ListMerge) -> Result<Map> {
    for (key, value) in over {
        let merged = match base.get(&key).cloned() {
            Some(old) if recursive && old.is_mapping() && value.is_mapping() => {
                let (old, new) = (interp.dict(&old)?.borrow().clone(), interp.dict(&value)?.borrow().clone());
                Value::dict(interp.inside(|interp| merge(interp, old, new, recursive, lists))?)
            }
            Some(old) if old.is_list() && value.is_list() => merge_lists(interp, &old, &value, lists)?,
            _ => value,
        };
        base.insert(key, merged);
    }
    Ok(base)
}

fn merge_lists(interp: &mut Interp<'_>, old: &Value, new: &Value, lists: ListMerge) -> Result<Value> {
    let (old_items, new_items) = (interp.items(old)?, interp.items(new)?);
    let without = |interp: &mut Interp<'_>, items: &[Value], others: &[Value]| -> Result<Vec<Value>> {
        let mut kept = Vec::new();
        for item in items {
            let mut found = false;
            for other in others {
                found = found || equal(interp, item, other)?;
            }
            if !found {
                kept.push(item.clone());
            }
        }
        Ok(kept)
    };
    Ok(match lists {
        ListMerge::Replace => new.clone(),
        ListMerge::Keep => old.clone(),
        ListMerge::Append => Value::list([old_items, new_items].concat()),
        ListMerge::Prepend => Value::list([new_items, old_items].concat()),
        ListMerge::AppendNew => {
            let kept = without(interp, &old_items, &new_items)?;
            Value::list([kept, new_items].concat())
        }
        ListMerge::PrependNew => {
            let kept = without(interp, &old_items, &new_items)?;
            Value::list([new_items, kept].concat())
        }
    })
}

fn dict2items(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [key_name, value_name] = args.bind(["key_name", "value_name"])?;
    let key_name = interp.arg_text_or(key_name, "key")?;
    let value_name = interp.arg_text_or(value_name, "value")?;
    let rows = interp.entries(&input)?.into_iter().map(|(key, value)| {
        let row = [(Key::from(key_name.as_str()), key.to_value()), (Key::from(value_name.as_str()), value)];
        Value::dict(row.into_iter().collect())
    });
    Ok(Value::list(rows.collect()))
}

fn items2dict(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [key_name, value_name] = args.bind(["key_name", "value_name"])?;
    let key_name = Value::str(interp.arg_text_or(key_name, "key")?);
    let value_name = Value::str(interp.arg_text_or(value_name, "value")?);
    if !input.is_list() {
        return Err(TemplateError::failed(format!("wants a list of dicts, not {}", input.kind_text())));
    }
    let mut map = Map::new();
    for row in interp.items(&input)? {
        let (key, value) = (interp.item(&row, &key_name)?, interp.item(&row, &value_name)?);
        value.defined()?;
        map.insert(Key::new(&key)?, value);
    }
    Ok(Value::dict(map))
}

fn dictsort(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [case_sensitive, by, descending] = args.bind(["case_sensitive", "by", "reverse"])?;
    let case_sensitive = interp.arg_flag(case_sensitive, false)?;
    let descending = interp.arg_flag(descending, false)?;
    let by_value = match interp.arg_text_or(by, "key")?.as_str() {
        "key" => false,
        "value" => true,
        other => return Err(TemplateError::failed(format!("sorts by key or value, not `{other}`"))),
    };
    let mut rows = Vec::new();
    for (key, value) in interp.entries(&input)? {
        let key = key.to_value();
        let sort_key = interp.compare_key(if by_value { &value } else { &key }, None, case_sensitive)?;
        rows.push((sort_key, Value::tuple(vec![key, value])));
    }
    let mut refusal = None;
    rows.sort_by(|(a, _), (b, _)| {
        let ordering = order(interp, a, b).unwrap_or_else(|error| {
            refusal.get_or_insert(error);
            std::cmp::Ordering::Equal
        });
        if descending { ordering.reverse() } else { ordering }
    });
    match refusal {
        Some(error) => Err(error),
        None => Ok(Value::list(rows.into_iter().map(|(_, row)| row).collect())),
    }
}

fn items(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let rows = interp.entries(&input)?.into_iter().map(|(key, value)| Value::tuple(vec![key.to_value(), value]));
    Ok(Value::list(rows.collect()))
}

fn extract(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [container, more] = args.bind(["container", "morekeys"])?;
    let container = required(container, "container")?;
    let mut found = interp.item(&container, &input)?;
    let more = match more.filter(|more| !more.is_none()) {
        Some(more) if more.is_list() => interp.items(&more)?,
        Some(more) => vec![more],
        None => Vec::new(),
    };
    for key in &more {
        found = interp.item(&found, key)?;
    }
    Ok(found)
}

fn rekey_on_member(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [key, duplicates] = args.bind(["key", "duplicates"])?;
    let key = required(key, "key")?;
    let overwrite = match interp.arg_text_or(duplicates, "error")?.as_str() {
        "error" => false,
        "overwrite" => true,
        other => return Err(TemplateError::failed(format!("`duplicates` is error or overwrite, not `{other}`"))),
    };
    let rows = if input.is_mapping() {
        interp.entries(&input)?.into_iter().map(|(_, value)| value).collect()
    } else {
        interp.items(&input)?
    };
    let mut map = Map::new();
    for row in rows {
        let member = interp.item(&row, &key)?;
        if map.insert(Key::new(&member)?, row).is_some() && !overwrite {
            let member = interp.text(&member)?;
            return Err(TemplateError::failed(format!("the key `{member}` appears twice")));
        }
    }
    Ok(Value::dict(map))
}
