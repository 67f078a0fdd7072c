//! One line for Nagios and what is like it, to go with the exit code of [`kfleet_inspect::Inspection::exit_code`].
//!
//! Form: [Monitoring Plugins development guidelines](https://www.monitoring-plugins.org/doc/guidelines.html), `text |
//! 'label'=value[unit];warn;crit;min;max`. Nagios reads 4 KiB of a plugin's output, so the text gives way, never the
//! data behind it.

use super::shape::{self, Place};
use super::words::visible;
use super::{Options, Pages, RenderError, texts};
use kfleet_inspect::{Finding, State};

/// `MAX_PLUGIN_OUTPUT_LENGTH` of many builds of NRPE and Nagios, with the end of the line.
const LONGEST: usize = 4096;

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let inspection = pages.inspection;
    let word = match inspection.exit_code() {
        0 => "OK",
        1 => "WARNING",
        2 => "CRITICAL",
        _ => "UNKNOWN",
    };
    let coverage = &inspection.coverage;
    let counts: Vec<String> = [State::Crit, State::Warn, State::Unknown]
        .into_iter()
        .map(|state| format!("{} {}", count(pages, state), texts::state(state, options.language)))
        .collect();
    let mut text = format!(
        "KFLEET {word}: {}: {}, {}/{} hosts",
        inspection.fleet,
        counts.join(", "),
        coverage.hosts_seen,
        coverage.hosts_expected
    );
    let data = format!(" |{}\n", data(pages));
    for (n, group) in shape::groups(inspection, Place::Counts).iter().enumerate() {
        let more = format!("{}{}", if n == 0 { "; " } else { ", " }, worst(group));
        if text.len() + more.len() + data.len() > LONGEST {
            break;
        }
        text.push_str(&more);
    }
    Ok(text + &data)
}

/// The worst finding of a check, and how many more it has.
fn worst(group: &shape::Group<'_>) -> String {
    let others = if group.size() > 1 { format!(" (+{})", group.size() - 1) } else { String::new() };
    group.rows.first().map_or_else(String::new, |row| one(row.finding)) + &others
}

/// A finding as it may stand before the bar. What is too long for a pager is cut.
fn one(finding: &Finding) -> String {
    let reading = finding.reading.as_ref().map(|shown| format!(" {shown}")).unwrap_or_default();
    let text = format!("{}@{}{reading}", finding.check, finding.object);
    super::words::clipped(&text, 160).replace('|', "/")
}

fn count(pages: &Pages<'_>, state: State) -> u32 {
    pages.inspection.counts.get(&state).copied().unwrap_or(0)
}

/// Numbers to be drawn. The counts have the limits of the verdict: one is a warning or critical.
fn data(pages: &Pages<'_>) -> String {
    let inspection = pages.inspection;
    let mut out = format!(" 'score'={};;;0;100", inspection.score.points);
    for (state, limits) in [
        (State::Crit, ";0"),
        (State::Warn, "0;"),
        (State::Unknown, "0;"),
        (State::Info, ";"),
        (State::Waived, ";"),
        (State::Expected, ";"),
    ] {
        out.push_str(&format!(" '{}'={};{limits};0", visible(state.name()), count(pages, state)));
    }
    let coverage = &inspection.coverage;
    out + &format!(" 'hosts'={};;;0;{}", coverage.hosts_seen, coverage.hosts_expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inspection::samples;

    #[test]
    fn a_night_is_one_line_of_at_most_four_kib_with_data_behind_one_bar() {
        for sample in samples::all() {
            let line = render(&sample.pages(), &Options::default()).unwrap();
            assert!(line.len() <= LONGEST, "{}: {}", sample.name, line.len());
            assert_eq!(line.matches('\n').count(), 1, "{}", sample.name);
            assert!(line.ends_with('\n'));
            let (_, data) = line.trim_end().split_once('|').unwrap();
            assert_eq!(line.matches('|').count(), 1, "{}", sample.name);
            for one in data.split_whitespace() {
                let (label, values) = one.split_once('=').unwrap();
                assert!(label.starts_with('\'') && label.ends_with('\''), "{one}");
                let fields: Vec<&str> = values.split(';').collect();
                assert!((4..=5).contains(&fields.len()), "{one}");
                assert!(fields.iter().all(|field| field.is_empty() || field.parse::<u64>().is_ok()), "{one}");
            }
        }
    }

    #[test]
    fn the_word_is_that_of_the_exit_code() {
        for (sample, code, begin) in [
            (
                samples::healthy(),
                0,
                "KFLEET OK: prod-sh: 0 crit, 0 warn, 0 unknown, 15/15 hosts | 'score'=100;;;0;100 ",
            ),
            (samples::bad_night(), 2, "KFLEET CRITICAL: prod-sh: "),
            (
                samples::half_missing(),
                2,
                "KFLEET CRITICAL: prod-sh: 1 crit, 0 warn, 3 unknown, 8/15 hosts; fleet.inspection@fleet",
            ),
        ] {
            assert_eq!(sample.inspection.exit_code(), code);
            let line = render(&sample.pages(), &Options::default()).unwrap();
            assert!(line.starts_with(begin), "{line}");
        }
        let mut sample = samples::healthy();
        for (verdict, word) in [(State::Warn, "WARNING"), (State::Unknown, "UNKNOWN"), (State::Info, "OK")] {
            sample.inspection.verdict = verdict;
            let line = render(&sample.pages(), &Options::default()).unwrap();
            assert!(line.starts_with(&format!("KFLEET {word}:")), "{line}");
        }
    }
}
