//! Filters on moments; the present one comes from the caller.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::value::Value;
use super::super::vars::Moment;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[filter("strftime", strftime), filter("to_datetime", to_datetime)];

/// Writes a civil moment with C's format letters.
///
/// # Errors
/// When the format has letters that do not exist.
pub(in super::super) fn format(moment: DateTime, zone: Option<TimeZone>, format: &str) -> Result<String> {
    let zone = zone.unwrap_or(TimeZone::UTC);
    let zoned = moment
        .to_zoned(zone)
        .map_err(|error| TemplateError::failed(format!("the moment {moment} does not exist: {error}")))?;
    strtime::format(format, &zoned)
        .map_err(|error| TemplateError::failed(format!("the time format `{format}` can not be used: {error}")))
}

/// The civil time of a moment, and its zone.
///
/// # Errors
/// When the moment is out of range.
pub(in super::super) fn civil(moment: Moment, utc: bool) -> Result<(DateTime, TimeZone)> {
    let out_of_range = |_| TemplateError::failed(format!("{} s is out of the range of dates", moment.seconds));
    let nanoseconds = i32::try_from(moment.nanoseconds).unwrap_or(0);
    let timestamp = Timestamp::new(moment.seconds, nanoseconds).map_err(out_of_range)?;
    let offset = Offset::from_seconds(if utc { 0 } else { moment.offset_seconds }).map_err(out_of_range)?;
    Ok((offset.to_datetime(timestamp), TimeZone::fixed(offset)))
}

fn strftime(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [second, utc] = args.bind(["second", "utc"])?;
    let letters = interp.text(&input)?;
    let utc = interp.arg_flag(utc, false)?;
    let now = interp.engine.lookups().now();
    let moment = match second.filter(|second| !second.is_none()) {
        Some(second) => {
            let text = interp.text(&second)?;
            let seconds: f64 = text
                .trim()
                .parse()
                .map_err(|_| TemplateError::failed(format!("wants seconds since 1970, not `{text}`")))?;
            let whole = seconds.floor();
            let nanoseconds = ((seconds - whole) * 1e9) as u32;
            Moment {
                seconds: whole as i64,
                nanoseconds: nanoseconds.min(999_999_999),
                offset_seconds: now.map_or(0, |now| now.offset_seconds),
            }
        }
        None => now.ok_or_else(|| TemplateError::failed("needs the seconds to write; there is no clock here"))?,
    };
    let (moment, zone) = civil(moment, utc)?;
    format(moment, Some(zone), &letters).map(Value::str)
}

fn to_datetime(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [format] = args.bind(["format"])?;
    let format = interp.arg_text_or(format, "%Y-%m-%d %H:%M:%S")?;
    let text = interp.text(&required(Some(input), "string")?)?;
    let refuse =
        |error: jiff::Error| TemplateError::failed(format!("`{text}` is no moment of the form `{format}`: {error}"));
    let parsed = strtime::parse(&format, &text).map_err(refuse)?;
    match parsed.to_datetime() {
        Ok(moment) => Ok(Value::DateTime(moment)),
        // A date alone means its midnight.
        Err(_) => parsed.to_date().map(|date| Value::DateTime(date.into())).map_err(refuse),
    }
}
