//! Methods of lists, tuples and dicts; those that change one change it for the rest of the template.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::filters;
use super::super::value::{Key, Map, Value, equal};

/// Every method of lists, for suggestions.
pub(super) const LIST_NAMES: &[&str] =
    &["append", "extend", "insert", "pop", "remove", "clear", "index", "count", "copy", "reverse", "sort"];

/// Every method of dicts, for suggestions.
pub(super) const DICT_NAMES: &[&str] =
    &["keys", "values", "items", "get", "update", "pop", "popitem", "setdefault", "copy", "clear", "fromkeys"];

pub(super) fn tuple(interp: &mut Interp<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match name {
        "index" | "count" => list(interp, value, name, args),
        _ => Err(super::unknown(value, name)),
    }
}

pub(super) fn list(interp: &mut Interp<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match name {
        "append" => {
            let item = args.one("object")?;
            interp.list(value)?.borrow_mut().push(item);
            Ok(Value::None)
        }
        "extend" => {
            let more = args.one("iterable")?;
            let more = interp.items(&more)?;
            interp.list(value)?.borrow_mut().extend(more);
            Ok(Value::None)
        }
        "insert" => {
            let [index, item] = args.bind(["index", "object"])?;
            let (index, item) = (interp.arg_int_or(index, "index", 0)?, required(item, "object")?);
            let list = interp.list(value)?;
            let length = list.borrow().len();
            list.borrow_mut().insert(place(index, length), item);
            Ok(Value::None)
        }
        "pop" => list_pop(interp, value, args),
        "remove" => {
            let item = args.one("value")?;
            let at = position(interp, value, &item)?;
            interp.list(value)?.borrow_mut().remove(at);
            Ok(Value::None)
        }
        "clear" => {
            args.none()?;
            interp.list(value)?.borrow_mut().clear();
            Ok(Value::None)
        }
        "index" => {
            let [item, start, end] = args.bind(["value", "start", "stop"])?;
            index(interp, value, &required(item, "value")?, start, end)
        }
        "count" => {
            let item = args.one("value")?;
            let mut count = 0;
            for candidate in interp.items(value)? {
                count += i128::from(equal(interp, &candidate, &item)?);
            }
            Ok(Value::Int(count))
        }
        "copy" => args.none().and_then(|()| interp.items(value)).map(Value::list),
        "reverse" => {
            args.none()?;
            interp.list(value)?.borrow_mut().reverse();
            Ok(Value::None)
        }
        "sort" => list_sort(interp, value, args),
        _ => Err(super::unknown(value, name)),
    }
}

fn place(index: i128, length: usize) -> usize {
    let length = length as i128;
    (if index < 0 { index + length } else { index }).clamp(0, length) as usize
}

fn list_pop(interp: &mut Interp<'_>, value: &Value, args: Args) -> Result<Value> {
    let [index] = args.bind(["index"])?;
    let index = interp.arg_int_or(index, "index", -1)?;
    let list = interp.list(value)?;
    let mut list = list.borrow_mut();
    let length = list.len() as i128;
    let at = if index < 0 { index + length } else { index };
    match usize::try_from(at).ok().filter(|at| *at < list.len()) {
        Some(at) => Ok(list.remove(at)),
        None => Err(TemplateError::failed(format!("a list of {length} has no item {index}"))),
    }
}

fn position(interp: &mut Interp<'_>, value: &Value, item: &Value) -> Result<usize> {
    for (at, candidate) in interp.items(value)?.iter().enumerate() {
        if equal(interp, candidate, item)? {
            return Ok(at);
        }
    }
    let item = interp.repr(item)?;
    Err(TemplateError::failed(format!("{item} is not in the list")))
}

fn index(
    interp: &mut Interp<'_>,
    value: &Value,
    item: &Value,
    start: Option<Value>,
    end: Option<Value>,
) -> Result<Value> {
    let items = interp.items(value)?;
    let start = place(interp.arg_int_or(start, "start", 0)?, items.len());
    let end = place(interp.arg_int_or(end, "stop", items.len() as i128)?, items.len());
    for (at, candidate) in items.iter().enumerate().take(end).skip(start) {
        if equal(interp, candidate, item)? {
            return Ok(Value::int(at));
        }
    }
    let item = interp.repr(item)?;
    Err(TemplateError::failed(format!("{item} is not in the list")))
}

fn list_sort(interp: &mut Interp<'_>, value: &Value, mut args: Args) -> Result<Value> {
    let reverse = args.take_named("reverse");
    args.none()?;
    let mut sorting = Args::of(vec![value.clone()]);
    sorting.named.push(("case_sensitive".into(), Value::Bool(true)));
    sorting.named.extend(reverse.map(|reverse| ("reverse".into(), reverse)));
    let sorted = filters::apply(interp, "sort", sorting)?;
    let sorted = interp.items(&sorted)?;
    *interp.list(value)?.borrow_mut() = sorted;
    Ok(Value::None)
}

pub(super) fn dict(interp: &mut Interp<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match name {
        "keys" | "iterkeys" => args.none().and_then(|()| interp.items(value)).map(Value::list),
        "values" | "itervalues" => {
            args.none()?;
            Ok(Value::list(interp.entries(value)?.into_iter().map(|(_, member)| member).collect()))
        }
        // `iteritems` and its kin are Python 2's, and still in old roles.
        "items" | "iteritems" => {
            args.none()?;
            let pairs = interp.entries(value)?;
            let pairs = pairs.into_iter().map(|(key, member)| Value::tuple(vec![key.to_value(), member]));
            Ok(Value::list(pairs.collect()))
        }
        "get" => {
            let [key, default] = args.bind(["key", "default"])?;
            let found = interp.item(value, &required(key, "key")?)?;
            Ok(if found.is_undefined() { default.unwrap_or(Value::None) } else { found })
        }
        "copy" => args.none().and_then(|()| interp.dict(value)).map(|map| Value::dict(map.borrow().clone())),
        "clear" => {
            args.none()?;
            interp.dict(value)?.borrow_mut().clear();
            Ok(Value::None)
        }
        "update" => dict_update(interp, value, args),
        "pop" => {
            let [key, default] = args.bind(["key", "default"])?;
            let key = Key::new(&required(key, "key")?)?;
            let removed = interp.dict(value)?.borrow_mut().shift_remove(&key);
            removed
                .or(default)
                .ok_or_else(|| TemplateError::failed("the dict has no such key and no default was given"))
        }
        "popitem" => {
            args.none()?;
            let last = interp.dict(value)?.borrow_mut().pop();
            let pair = last.map(|(key, member)| Value::tuple(vec![key.to_value(), member]));
            pair.ok_or_else(|| TemplateError::failed("the dict is empty"))
        }
        "setdefault" => {
            let [key, default] = args.bind(["key", "default"])?;
            let key = Key::new(&required(key, "key")?)?;
            let map = interp.dict(value)?;
            let member = map.borrow_mut().entry(key).or_insert_with(|| default.unwrap_or(Value::None)).clone();
            Ok(member)
        }
        "fromkeys" => {
            let [keys, member] = args.bind(["iterable", "value"])?;
            let member = member.unwrap_or(Value::None);
            let keys = interp.items(&required(keys, "iterable")?)?;
            let map = keys.iter().map(|key| Ok((Key::new(key)?, member.clone()))).collect::<Result<Map>>()?;
            Ok(Value::dict(map))
        }
        "has_key" => {
            let key = args.one("key")?;
            interp.contains(value, &key).map(Value::Bool)
        }
        _ => member_call(interp, value, name, args),
    }
}

fn dict_update(interp: &mut Interp<'_>, value: &Value, args: Args) -> Result<Value> {
    let named = args.named.clone();
    let [other] = Args::of(args.positional).bind(["other"])?;
    let mut changes = match other {
        Some(other) => pairs(interp, &other)?,
        None => Vec::new(),
    };
    changes.extend(named.into_iter().map(|(name, member)| (Key::Str(name), member)));
    interp.dict(value)?.borrow_mut().extend(changes);
    Ok(Value::None)
}

/// The pairs of a mapping, or of a list of pairs, as `dict()` and `update()` take them.
///
/// # Errors
/// When an item is no pair.
pub(in super::super) fn pairs(interp: &mut Interp<'_>, value: &Value) -> Result<Vec<(Key, Value)>> {
    if value.is_mapping() {
        return interp.entries(value);
    }
    let mut pairs = Vec::new();
    for pair in interp.items(value)? {
        match &interp.items(&pair)?[..] {
            [key, member] => pairs.push((Key::new(key)?, member.clone())),
            other => {
                return Err(TemplateError::failed(format!("wants pairs of key and value, not {} values", other.len())));
            }
        }
    }
    Ok(pairs)
}

/// Calls a member that is itself a function, such as a macro kept in a dict.
fn member_call(interp: &mut Interp<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    match interp.attr(value, &name.into())? {
        Value::Undefined(_) => Err(super::unknown(value, name)),
        member => interp.call(&member, args),
    }
}
