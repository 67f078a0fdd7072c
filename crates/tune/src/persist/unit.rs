//! A unit's own file and its drop-ins. The last assignment of a key wins (`systemd.unit`).

use std::collections::BTreeMap;

/// The folders of units, the one that wins first.
pub const FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// kfleet's own drop-in of a unit; its name sorts after others'.
#[must_use]
pub fn own(unit: &str) -> String {
    format!("{}/{unit}.d/99-zz-kfleet.conf", FOLDERS[0])
}

/// What the section `[Service]` sets, with limits as the process gets them and times in seconds.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let (mut settings, mut in_service) = (BTreeMap::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_service = line == "[Service]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| in_service && !line.starts_with(['#', ';'])) else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            // Both times at once; a later TimeoutStopSec wins.
            "TimeoutSec" | "TimeoutStopSec" => _ = settings.insert("TimeoutStopSec".to_owned(), seconds(value)),
            key if key.starts_with("Limit") => {
                let soft = value.split(':').next().unwrap_or_default();
                settings.insert(key.to_owned(), soft.to_owned());
            }
            key => _ = settings.insert(key.to_owned(), value.to_owned()),
        }
    }
    settings
}

/// A span of time (`3min 20s`, `90`) in whole seconds; what is none stays as it is.
fn seconds(span: &str) -> String {
    let mut rest = span.trim();
    let mut milliseconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<u64>() else { return span.to_owned() };
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let each = match &after[..letters] {
            "" | "s" | "sec" | "second" | "seconds" => 1000,
            "ms" | "msec" => 1,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000,
            _ => return span.to_owned(),
        };
        milliseconds = milliseconds.saturating_add(number.saturating_mul(each));
        rest = after[letters..].trim_start();
    }
    // systemd takes 0 for "never".
    if milliseconds == 0 { "infinity".to_owned() } else { (milliseconds / 1000).to_string() }
}

pub(crate) fn render(settings: &BTreeMap<String, String>) -> String {
    let lines: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    format!("[Service]\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_soft_ones_and_times_are_seconds() {
        let text = "[Unit]\nLimitNOFILE=1\n[Service]\n#LimitNOFILE=2\nLimitNOFILE=4096:524288\nTimeoutSec=3min 20s\n\
                    Type=exec\n[Install]\nLimitNOFILE=9\n";
        let wanted = [("LimitNOFILE", "4096"), ("TimeoutStopSec", "200"), ("Type", "exec")];
        let wanted: BTreeMap<String, String> = wanted.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(parse(text), wanted);
        assert_eq!(parse(&render(&wanted)), wanted);
        let spans =
            [("90", "90"), ("1h", "3600"), ("infinity", "infinity"), ("0", "infinity"), ("2 min", "120"), ("5x", "5x")];
        for (span, wanted) in spans {
            assert_eq!(seconds(span), wanted, "{span}");
        }
    }
}
