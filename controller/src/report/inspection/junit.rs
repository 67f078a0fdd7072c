//! Test results for build servers: a suite an area, a case a check of an object.
//!
//! The shape is [Jenkins' schema](https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd),
//! which GitLab and others read too. Warn and crit are failures, unknown is an error, what is waived, expected or does
//! not apply is skipped.

use super::words::visible;
use super::{Options, Pages, RenderError, shape, texts};
use kfleet_inspect::{CheckId, Finding, Object, State};
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Default)]
struct Suite {
    cases: String,
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let inspection = pages.inspection;
    let mut suites: BTreeMap<&str, Suite> = BTreeMap::new();
    for finding in &inspection.findings {
        suites.entry(finding.check.area()).or_default().finding(finding, options);
    }
    for (check, objects) in &inspection.passed {
        for object in objects {
            suites.entry(check.area()).or_default().case(check, object, "");
        }
    }
    for (check, all) in &inspection.skipped {
        for one in all {
            let suite = suites.entry(check.area()).or_default();
            suite.skipped += 1;
            suite.case(check, &one.object, &format!("<skipped message=\"{}\"/>", escaped(&one.why)));
        }
    }
    let sum = |of: fn(&Suite) -> usize| suites.values().map(of).sum::<usize>();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"kfleet {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
        escaped(inspection.fleet.as_str()),
        sum(|suite| suite.tests),
        sum(|suite| suite.failures),
        sum(|suite| suite.errors)
    );
    let timestamp = inspection.run.judged_at.strftime("%Y-%m-%dT%H:%M:%S");
    for (area, suite) in &suites {
        let title = shape::area_title(area);
        let _never_fails = write!(
            out,
            "<testsuite name=\"{area}\" package=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" timestamp=\"{timestamp}\">\n{}</testsuite>\n",
            escaped(texts::pick(&title, options.language)),
            suite.tests,
            suite.failures,
            suite.errors,
            suite.skipped,
            suite.cases
        );
    }
    out.push_str("</testsuites>\n");
    Ok(out)
}

impl Suite {
    fn case(&mut self, check: &CheckId, object: &Object, inside: &str) {
        self.tests += 1;
        let name = escaped(&format!("{check}@{object}"));
        let _never_fails = if inside.is_empty() {
            writeln!(self.cases, "<testcase name=\"{name}\" classname=\"{}\"/>", escaped(check.as_str()))
        } else {
            writeln!(
                self.cases,
                "<testcase name=\"{name}\" classname=\"{}\">{inside}</testcase>",
                escaped(check.as_str())
            )
        };
    }

    fn finding(&mut self, finding: &Finding, options: &Options) {
        let message = escaped(&message(finding, options));
        let text = escaped_lines(&details(finding, options));
        let kind = finding.state.name();
        let inside = match finding.state {
            State::Warn | State::Crit => {
                self.failures += 1;
                format!("<failure type=\"{kind}\" message=\"{message}\">{text}</failure>")
            }
            State::Unknown => {
                self.errors += 1;
                format!("<error type=\"{kind}\" message=\"{message}\">{text}</error>")
            }
            State::Waived | State::Expected | State::Skip => {
                self.skipped += 1;
                let why = finding.waiver.as_deref().or(finding.window.as_deref()).unwrap_or_default();
                format!("<skipped message=\"{}\"/><system-out>{text}</system-out>", escaped(&format!("{kind}: {why}")))
            }
            State::Info | State::Ok => format!("<system-out>{text}</system-out>"),
        };
        self.case(&finding.check, &finding.object, &inside);
    }
}

fn message(finding: &Finding, options: &Options) -> String {
    let mut out = texts::pick(&finding.title, options.language).to_owned();
    let limit = finding.threshold.as_ref().map(|fired| format!(" ({})", fired.condition));
    for text in [finding.reading.as_ref().map(|shown| format!(": {shown}")), limit].into_iter().flatten() {
        out.push_str(&text);
    }
    out
}

fn details(finding: &Finding, options: &Options) -> Vec<String> {
    let mut lines = vec![texts::pick(&finding.why, options.language).to_owned()];
    lines.push(texts::pick(&finding.advice, options.language).to_owned());
    lines.extend(finding.note.clone());
    lines.extend(
        finding.cause.as_ref().map(|cause| format!("{}: {cause}", texts::Text::CausedBy.say(options.language))),
    );
    lines.extend(finding.evidence.iter().cloned());
    lines.extend(finding.fix.as_ref().map(|fix| format!("$ {fix}")));
    lines
}

/// Text in elements and attributes. XML 1.0 has no way to write most control characters, which `visible` has replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn escaped_lines(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
