//! Between template values and JSON, the form in which values enter and leave the engine.

use std::sync::Arc;

use serde_json::{Map as JsonMap, Number, Value as Json};

use super::super::error::{Result, TemplateError};
use super::super::eval::Interp;
use super::super::vars::OMIT;
use super::{Key, Value};

pub(super) fn number(number: &Number) -> Value {
    if let Some(whole) = number.as_i128() {
        Value::Int(whole)
    } else {
        Value::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// Data that is never templated.
pub(in super::super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(value) => number(value),
        Json::String(text) => Value::str(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect()),
        Json::Object(map) => {
            Value::dict(map.iter().map(|(key, value)| (Key::from(key.as_str()), from_json(value))).collect())
        }
    }
}

/// The value as it leaves the engine.
///
/// # Errors
/// When it holds something missing, or something that is not data.
pub(in super::super) fn to_json(interp: &mut Interp<'_>, value: &Value) -> Result<Json> {
    interp.inside(|interp| convert(interp, value))
}

fn convert(interp: &mut Interp<'_>, value: &Value) -> Result<Json> {
    Ok(match value {
        Value::Undefined(missing) => return Err(missing.error()),
        Value::Omit => Json::String(OMIT.to_owned()),
        Value::None => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(whole) => int(*whole),
        Value::Float(float) => Number::from_f64(*float).map_or_else(|| Json::String(float.to_string()), Json::Number),
        Value::Str(text) => Json::String(text.to_string()),
        Value::List(_) | Value::Tuple(_) => array(interp, value)?,
        Value::Source(source) if !source.is_mapping() => array(interp, value)?,
        Value::Dict(_) | Value::Source(_) => {
            let mut map = JsonMap::new();
            for (key, member) in interp.entries(value)? {
                if matches!(member, Value::Omit) {
                    continue;
                }
                map.insert(key_text(&key), to_json(interp, &member)?);
            }
            Json::Object(map)
        }
        Value::DateTime(moment) => Json::String(super::repr::datetime_text(moment)),
        Value::Object(object) => {
            let Some(items) = object.attr("__items__") else {
                return Err(TemplateError::failed(format!("a {} is not a value that can be kept", object.type_name())));
            };
            to_json(interp, &items)?
        }
    })
}

/// The items that are not `omit`.
fn array(interp: &mut Interp<'_>, value: &Value) -> Result<Json> {
    let items = interp.items(value)?;
    let kept = items.iter().filter(|item| !matches!(item, Value::Omit));
    Ok(Json::Array(kept.map(|item| to_json(interp, item)).collect::<Result<_>>()?))
}

/// JSON has 64 bits; a longer number keeps its digits as text rather than lose some.
fn int(whole: i128) -> Json {
    if let Ok(small) = i64::try_from(whole) {
        small.into()
    } else if let Ok(large) = u64::try_from(whole) {
        large.into()
    } else {
        Json::String(whole.to_string())
    }
}

/// A key as JSON writes it.
pub(in super::super) fn key_text(key: &Key) -> String {
    match key {
        Key::None => "null".to_owned(),
        Key::Bool(flag) => flag.to_string(),
        Key::Int(whole) => whole.to_string(),
        Key::Float(float) => super::float_text(*float),
        Key::Str(text) => Arc::clone(text).to_string(),
        Key::Tuple(_) => super::repr::plain(&key.to_value()),
    }
}
