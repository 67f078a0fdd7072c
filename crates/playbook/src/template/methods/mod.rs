//! Methods of Python's strings, lists, dicts and numbers, as far as roles use them.

mod containers;
mod strings;

use super::error::{ErrorKind, Result, TemplateError, nearest};
use super::eval::{Args, Interp};
use super::value::Value;

pub(super) use self::containers::pairs;
pub(super) use self::strings::{Side, capitalize, pad};

/// Calls a method of a plain value.
///
/// # Errors
/// When the value is missing, has no such method, or the method refuses.
pub(super) fn call(interp: &mut Interp<'_>, value: &Value, name: &str, args: Args) -> Result<Value> {
    value.defined()?;
    let called = match value {
        Value::Str(text) => strings::call(interp, text, name, args),
        Value::List(_) => containers::list(interp, value, name, args),
        Value::Tuple(_) => containers::tuple(interp, value, name, args),
        Value::Dict(_) => containers::dict(interp, value, name, args),
        Value::Source(source) if source.is_mapping() => containers::dict(interp, value, name, args),
        Value::Source(_) => containers::list(interp, value, name, args),
        Value::DateTime(moment) => datetime(interp, *moment, name, args),
        Value::Float(float) if name == "is_integer" => args.none().map(|()| Value::Bool(float.fract() == 0.0)),
        _ => Err(unknown(value, name)),
    };
    called.map_err(|mut error| {
        if error.kind == ErrorKind::Failed && error.place.is_none() && !error.message.starts_with("method") {
            error.message = format!("method `{name}`: {}", error.message);
        }
        error
    })
}

/// The error of calling a method that does not exist.
pub(super) fn unknown(value: &Value, name: &str) -> Box<TemplateError> {
    let message = format!("{} has no method `{name}`", value.kind_text());
    let error = TemplateError::new(ErrorKind::Undefined, message);
    let known: &[&str] = match value {
        Value::Str(_) => strings::NAMES,
        _ if value.is_mapping() => containers::DICT_NAMES,
        _ if value.is_list() => containers::LIST_NAMES,
        _ => &[],
    };
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hinted(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// An attribute of a moment.
pub(super) fn datetime_attr(moment: &jiff::civil::DateTime, name: &str) -> Option<Value> {
    Some(match name {
        "year" => Value::int(moment.year()),
        "month" => Value::int(moment.month()),
        "day" => Value::int(moment.day()),
        "hour" => Value::int(moment.hour()),
        "minute" => Value::int(moment.minute()),
        "second" => Value::int(moment.second()),
        "microsecond" => Value::int(moment.subsec_nanosecond() / 1000),
        _ => return None,
    })
}

fn datetime(interp: &mut Interp<'_>, moment: jiff::civil::DateTime, name: &str, args: Args) -> Result<Value> {
    match name {
        "strftime" => {
            let format = args.one("format")?;
            let format = interp.text(&format)?;
            super::filters::format_moment(moment, None, &format).map(Value::str)
        }
        "isoformat" => args.none().map(|()| Value::str(moment.to_string())),
        "date" => args.none().map(|()| Value::DateTime(moment.date().into())),
        "timestamp" => args.none().and_then(|()| match moment.to_zoned(jiff::tz::TimeZone::UTC) {
            Ok(zoned) => Ok(Value::Float(zoned.timestamp().as_duration().as_secs_f64())),
            Err(error) => Err(TemplateError::failed(format!("the moment has no timestamp: {error}"))),
        }),
        "weekday" => args.none().map(|()| Value::int(moment.weekday().to_monday_zero_offset())),
        "isoweekday" => args.none().map(|()| Value::int(moment.weekday().to_monday_one_offset())),
        _ => Err(unknown(&Value::DateTime(moment), name)),
    }
}
