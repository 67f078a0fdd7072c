//! One inspection as an operator runs it, and how its findings stand against what is to be found.

use super::fault::Group;
use crate::support::Stage;
use anyhow::{Context, Result, ensure};
use kfleet_inspect::condition::fits;
use kfleet_inspect::finding::SCHEMA;
use kfleet_inspect::{Finding, Inspection, State};
use std::time::Duration;

/// When an inspection ends, whatever is missing then.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// How long hosts watch what moves: long enough for three looks, and for twelve of a consumer group's offsets.
const SAMPLE: Duration = Duration::from_secs(15);

/// An inspection that has ended.
pub(super) struct Night {
    /// Its exit code.
    pub(super) code: i32,
    /// How long the program ran.
    pub(super) took: Duration,
    /// What it found.
    pub(super) found: Inspection,
}

/// Inspects all hosts. The night is stored, and the next one compares with it.
pub(super) async fn inspect(stage: &Stage) -> Result<Night> {
    let (sample, deadline) = (SAMPLE.as_secs().to_string(), DEADLINE.as_secs().to_string());
    let arguments = ["inspect", "all", "--sample-s", &sample, "--deadline-s", &deadline, "--format", "json"];
    let begun = tokio::time::Instant::now();
    let ended = stage.kfleet(&arguments).await?;
    let took = begun.elapsed();
    let found: Inspection = serde_json::from_str(&ended.stdout)
        .with_context(|| format!("exit code {}, no document:\n{}\n{}", ended.code, ended.stdout, ended.stderr))?;
    ensure!(found.schema == SCHEMA, "a document of {}", found.schema);
    Ok(Night { code: ended.code, took, found })
}

impl Night {
    /// The findings that count for the verdict.
    pub(super) fn counting(&self) -> impl Iterator<Item = &Finding> {
        self.found.findings.iter().filter(|finding| finding.state.counts())
    }

    /// Whether something is found to be wrong, not only unknown.
    pub(super) fn has(&self, subject: &str) -> bool {
        self.found.findings.iter().any(|finding| is_wrong(finding) && fits(subject, &finding.subject().to_string()))
    }

    /// Every finding that counts, one a line.
    pub(super) fn told(&self) -> String {
        self.counting().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn is_wrong(finding: &Finding) -> bool {
    matches!(finding.state, State::Warn | State::Crit)
}

/// A finding with all that says why it is one.
fn line(finding: &Finding) -> String {
    let mut text = format!("  {} {}", finding.state.name(), finding.subject());
    let reading = finding.reading.as_ref().map(|reading| format!(": {reading}"));
    let threshold = finding.threshold.as_ref().map(|fired| format!(" ({})", fired.condition));
    let note = finding.note.as_ref().map(|note| format!("; {note}"));
    let cause = finding.cause.as_ref().map(|cause| format!("; explained by {cause}"));
    let evidence = finding.evidence.first().map(|line| format!("; {line}"));
    text.extend([reading, threshold, note, cause, evidence].into_iter().flatten());
    text
}

/// What a group's faults shall be found as, against what was found.
pub(super) struct Comparison {
    /// Each fault with what it must be found as, and how it was found.
    faults: Vec<(&'static str, &'static str, Option<String>)>,
    /// Findings that nothing explains.
    unexplained: Vec<String>,
}

impl Comparison {
    /// Compares.
    ///
    /// A finding is explained when a fault must be found as it, when it is one of a fault's side effects, when the
    /// inspection itself puts it under a finding that is explained, and when it says that something is unknown which is.
    pub(super) fn of(group: &Group, night: &Night) -> Self {
        let mut faults = Vec::new();
        for fault in group.faults {
            for wanted in fault.finds {
                let found =
                    night.found.findings.iter().find(|one| is_wrong(one) && fits(wanted, &one.subject().to_string()));
                faults.push((fault.name, *wanted, found.map(line)));
            }
        }
        let named = |subject: &str| {
            let of_faults = group.faults.iter().flat_map(|fault| fault.finds.iter().chain(fault.also));
            of_faults.chain(group.also).any(|pattern| fits(pattern, subject))
        };
        let any_unknown = night.counting().any(|finding| finding.state == State::Unknown);
        let explained = |finding: &&Finding| {
            let under = finding.cause.as_ref().is_some_and(|cause| named(&cause.to_string()));
            let own = any_unknown && finding.subject().to_string() == "fleet.inspection@fleet";
            named(&finding.subject().to_string()) || under || own
        };
        let unexplained = night.counting().filter(|finding| !explained(finding)).map(line).collect();
        Self { faults, unexplained }
    }

    /// Each fault with its finding.
    pub(super) fn table(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|(name, wanted, found)| match found {
            Some(found) => format!("{name}: {}", found.trim_start()),
            None => format!("{name}: NOT FOUND as {wanted}"),
        })
    }

    /// Fails with all that is missing and all that is too much.
    pub(super) fn verdict(&self) -> Result<()> {
        let missing: Vec<String> = self
            .faults
            .iter()
            .filter(|(.., found)| found.is_none())
            .map(|(name, wanted, _)| format!("  {name}: not found as {wanted}"))
            .collect();
        ensure!(
            missing.is_empty() && self.unexplained.is_empty(),
            "faults that are not found:\n{}\nfindings that nothing explains:\n{}",
            missing.join("\n"),
            self.unexplained.join("\n")
        );
        Ok(())
    }
}
