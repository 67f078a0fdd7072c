//! For tests: what the services' own classes said of configurations, held against what is said here.

use crate::{Finding, Severity};

/// A finding in one line: `E 4: ...` is an error of line 4.
pub(crate) fn shown(found: &[Finding]) -> Vec<String> {
    let severity = |severity| if severity == Severity::Error { "E" } else { "W" };
    let line = |found: &Finding| found.line.map(|line| format!("{line}: ")).unwrap_or_default();
    found.iter().map(|found| format!("{} {}{}", severity(found.severity), line(found), found.problem)).collect()
}

/// Each row is `VERSION, KEY=VALUE;;..., starts|refuses`. An error here must be a refusal there, but for the
/// configurations that are judged more strictly on purpose.
///
/// # Panics
/// When a row disagrees, all of them named, or when there are not more rows than `least`.
pub(crate) fn hold(
    rows: &str,
    least: usize,
    findings: impl Fn(&str, &str) -> Vec<Finding>,
    is_stricter: impl Fn(&str) -> bool,
) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for row in rows.lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let [version, settings, verdict] = columns[..] else { panic!("{row:?}") };
        count += 1;
        let found = findings(version, &settings.replace(";;", "\n"));
        let errors = found.iter().any(|found| found.severity == Severity::Error);
        if errors != (verdict == "refuses") && !(errors && is_stricter(settings)) {
            wrong.push(format!("{row}\n    {}", shown(&found).join("\n    ")));
        }
    }
    assert!(count > least, "{count} rows");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
