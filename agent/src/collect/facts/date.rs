//! The host's clock in all the spellings that Ansible has.

use super::put;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kfleet_model::{Map, Value};

pub(super) fn gather(unix_ms: i64, zone: &TimeZone, facts: &mut Map) {
    let instant = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let (local, utc) = (instant.to_zoned(zone.clone()), instant.to_zoned(TimeZone::UTC));
    let here = |format: &str| Value::from(local.strftime(format).to_string());
    let there = |format: &str| Value::from(utc.strftime(format).to_string());
    let mut date = Map::new();
    for (key, format) in [
        ("year", "%Y"),
        ("month", "%m"),
        ("weekday", "%A"),
        ("weekday_number", "%w"),
        ("weeknumber", "%W"),
        ("day", "%d"),
        ("hour", "%H"),
        ("minute", "%M"),
        ("second", "%S"),
        ("date", "%Y-%m-%d"),
        ("time", "%H:%M:%S"),
        ("iso8601_basic", "%Y%m%dT%H%M%S%6f"),
        ("iso8601_basic_short", "%Y%m%dT%H%M%S"),
        ("tz", "%Z"),
        ("tz_dst", "%Z"),
        ("tz_offset", "%z"),
    ] {
        date.insert(key.to_owned(), here(format));
    }
    date.insert("iso8601".to_owned(), there("%Y-%m-%dT%H:%M:%SZ"));
    date.insert("iso8601_micro".to_owned(), there("%Y-%m-%dT%H:%M:%S.%6fZ"));
    date.insert("epoch".to_owned(), instant.as_second().to_string().into());
    date.insert("epoch_int".to_owned(), instant.as_second().to_string().into());
    put(facts, "date_time", Value::Object(date));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_is_told_in_local_and_in_universal_time() {
        let mut facts = Map::new();
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        gather(1_700_000_000_123, &zone, &mut facts);
        let date = &facts["date_time"];
        for (key, wanted) in [
            ("iso8601", "2023-11-14T22:13:20Z"),
            ("iso8601_micro", "2023-11-14T22:13:20.123000Z"),
            ("iso8601_basic_short", "20231114T231320"),
            ("time", "23:13:20"),
            ("weekday", "Tuesday"),
            ("weekday_number", "2"),
            ("epoch", "1700000000"),
            ("tz", "CET"),
            ("tz_offset", "+0100"),
        ] {
            assert_eq!(date[key], wanted, "{key}");
        }
    }
}
