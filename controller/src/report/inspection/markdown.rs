//! Text for tickets, chats and wikis: [GitHub Flavored Markdown](https://github.github.com/gfm/), in one language.

use super::shape::{self, Deadline, Due, Group, Place, Row};
use super::texts::{self, Text, pick};
use super::words::{LONGEST, Moment, clipped, first, utc};
use super::{Language, Options, Pages, RenderError, Restartable};
use kfleet_inspect::{Finding, State};

/// Objects named in one line of changes.
const NAMED: usize = 5;

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let mut page = Page { pages, options, out: String::new() };
    page.head();
    page.changes();
    page.due();
    page.restart();
    page.findings(Text::Findings, Place::Counts);
    page.findings(Text::Information, Place::Info);
    page.findings(Text::Accepted, Place::Accepted);
    page.coverage();
    Ok(page.out)
}

struct Page<'a> {
    pages: &'a Pages<'a>,
    options: &'a Options,
    out: String,
}

impl Page<'_> {
    fn language(&self) -> Language {
        self.options.language
    }

    fn say(&self, text: Text) -> &'static str {
        text.say(self.language())
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, text: Text) {
        let text = escaped(self.say(text));
        self.line(&format!("\n## {text}\n"));
    }

    fn moment(&self, at: jiff::Timestamp) -> String {
        escaped(&Moment::new(at, self.options.zone.as_ref()).text())
    }

    fn head(&mut self) {
        let inspection = self.pages.inspection;
        let state = state(inspection.verdict, self.language());
        let says = self.say(texts::verdict(inspection.verdict));
        let title = self.say(Text::Title);
        self.line(&format!("# {} {}: {state}, {says}\n", escaped(title), escaped(inspection.fleet.as_str())));
        let counts: Vec<String> = inspection
            .counts
            .iter()
            .rev()
            .filter(|(_, n)| **n > 0)
            .map(|(one, n)| format!("{} {n}", self::state(*one, self.language())))
            .collect();
        let counts = if counts.is_empty() { self.say(Text::NoFindings).to_owned() } else { counts.join(", ") };
        self.line(&format!("- **{counts}**"));
        let points = Text::ScoreOf.with(self.language(), &[("n", &inspection.score.points)]);
        self.line(&format!("- {}: {points}", self.say(Text::Score)));
        let coverage = &inspection.coverage;
        self.line(&format!("- {}: {} / {}", self.say(Text::HostsSeen), coverage.hosts_seen, coverage.hosts_expected));
        self.line(&format!("- {}: {}", self.say(Text::JudgedAt), self.moment(inspection.run.judged_at)));
        let compared = inspection.run.compared_with.map(|at| self.moment(at));
        let compared = compared.unwrap_or_else(|| self.say(Text::FirstNight).to_owned());
        self.line(&format!("- {}: {compared}", self.say(Text::Compared)));
    }

    fn changes(&mut self) {
        self.heading(Text::Changes);
        let changed = shape::changed(self.pages.inspection);
        for one in &changed {
            let (names, more) = first(one.objects.iter().map(|object| escaped(&object.to_string())), NAMED);
            let more = if more > 0 {
                format!(", {}", Text::More.with(self.language(), &[("n", &more)]))
            } else {
                String::new()
            };
            self.line(&format!(
                "- **{}** {} {}: {}{more}",
                self.say(texts::change(one.change)),
                state(one.state, self.language()),
                escaped(pick(one.title, self.language())),
                names.join(", ")
            ));
        }
        if changed.is_empty() {
            self.line(self.say(Text::NothingChanged));
        }
        if !self.pages.happenings.is_empty() {
            self.line(&format!("\n**{}**\n", self.say(Text::Happenings)));
        }
        for one in self.pages.happenings {
            let at = one.at.map_or_else(|| self.say(Text::Between).to_owned(), |at| self.moment(at));
            let (kind, about, what) =
                (self.say(texts::happening(one.kind)), escaped(&one.object.to_string()), escaped(&one.what));
            self.line(&format!("- {at}: {kind} {about}: {what}"));
        }
    }

    fn due(&mut self) {
        let all = shape::deadlines(self.pages.inspection);
        if all.is_empty() {
            return;
        }
        self.heading(Text::MustAct);
        for due in Due::ALL {
            let of: Vec<_> = all.iter().filter(|(when, _)| *when == due).collect();
            if of.is_empty() {
                continue;
            }
            self.line(&format!("**{}**\n", self.say(texts::due(due))));
            for (_, what) in of {
                let line = self.deadline(what);
                self.line(&line);
            }
            self.line("");
        }
    }

    fn deadline(&self, what: &Deadline<'_>) -> String {
        match what {
            Deadline::Forecast(one) => format!(
                "- {}: {} {} {}, {}",
                self.moment(one.earliest),
                escaped(&one.object.to_string()),
                code(&one.key),
                escaped(&Text::Reaches.with(self.language(), &[("limit", &one.limit)])),
                escaped(&Text::Likely.with(self.language(), &[("at", &utc(one.reached))]))
            ),
            Deadline::Waiver(one) => {
                let text = texts::waiver(one).with(self.language(), &[("check", &one.check)]);
                let about = format!("{} ({}, {} {})", text, one.object, self.say(Text::Owner), one.owner);
                format!("- {}: {}", self.moment(one.expires), escaped(&about))
            }
        }
    }

    fn restart(&mut self) {
        if self.pages.restart.clusters.is_empty() {
            return;
        }
        self.heading(Text::Restart);
        for (name, cluster) in &self.pages.restart.clusters {
            let safe = cluster.members.iter().filter(|member| member.restart == Restartable::Yes).count();
            let members = Text::Members.with(self.language(), &[("safe", &safe), ("n", &cluster.members.len())]);
            let any = self.say(texts::restartable(&cluster.any_member()));
            self.line(&format!("- **{}**: {members}; {}: {any}", escaped(name.as_str()), self.say(Text::LoseMember)));
            for member in cluster.members.iter().filter(|member| member.restart != Restartable::Yes) {
                let (word, why) = (self.say(texts::restartable(&member.restart)), reasons(&member.restart));
                self.line(&format!(
                    "  - {} ({}) {word}: {}",
                    escaped(member.host.as_str()),
                    member.node,
                    escaped(&why)
                ));
            }
            for (rack, answer) in &cluster.racks {
                let rack = Text::LoseRack.with(self.language(), &[("rack", rack)]);
                self.line(&format!("  - {}: {}", escaped(&rack), self.say(texts::restartable(answer))));
            }
        }
    }

    fn findings(&mut self, heading: Text, place: Place) {
        let groups = shape::groups(self.pages.inspection, place);
        if groups.is_empty() {
            if place == Place::Counts {
                self.heading(heading);
                self.line(self.say(Text::NoFindingsLong));
            }
            return;
        }
        self.heading(heading);
        for group in &groups {
            self.group(group);
        }
    }

    fn group(&mut self, group: &Group<'_>) {
        let language = self.language();
        let lead = group.lead;
        self.line(&format!(
            "### {} {} ({})\n",
            state(group.state, language),
            escaped(pick(&lead.title, language)),
            escaped(lead.check.as_str())
        ));
        self.line(&format!("{}: {}", self.say(Text::Why), escaped(pick(&lead.why, language))));
        self.line(&format!("{}: **{}**\n", self.say(Text::Advice), escaped(pick(&lead.advice, language))));
        for row in group.rows.iter().take(self.options.rows) {
            self.row(row);
        }
        let more = group.rows.len().saturating_sub(self.options.rows);
        if more > 0 {
            self.line(&format!("- {}", Text::MoreElsewhere.with(language, &[("n", &more)])));
        }
        self.line("");
    }

    fn row(&mut self, row: &Row<'_>) {
        let line = self.finding(row.finding);
        self.line(&format!("- {line}"));
        let finding = row.finding;
        for (state, why) in [(State::Waived, &finding.waiver), (State::Expected, &finding.window)] {
            if let Some(why) = why {
                self.line(&format!("  - {}: {}", self::state(state, self.language()), escaped(why)));
            }
        }
        if !finding.evidence.is_empty() {
            let lines: Vec<String> = finding.evidence.iter().map(|line| clipped(line, LONGEST)).collect();
            self.block(&lines, "");
        }
        if let Some(fix) = &finding.fix {
            self.line(&format!("  - {} ({}):", self.say(Text::Fix), self.say(Text::FixHint)));
            self.block(&[clipped(fix, LONGEST)], "  ");
        }
        for follower in row.followers.iter().take(self.options.rows) {
            let title = escaped(pick(&follower.title, self.language()));
            let line = self.finding(follower);
            self.line(&format!("  - {title}: {line}"));
        }
        let more = row.followers.len().saturating_sub(self.options.rows);
        if more > 0 {
            self.line(&format!("  - {}", Text::More.with(self.language(), &[("n", &more)])));
        }
    }

    fn finding(&self, finding: &Finding) -> String {
        let language = self.language();
        let mut out = format!("{} {}", state(finding.state, language), escaped(&finding.object.to_string()));
        if let Some(reading) = &finding.reading {
            out.push_str(&format!(": **{}**", escaped(&reading.to_string())));
        }
        if let Some(fired) = &finding.threshold {
            let layer = texts::layer(&fired.layer);
            let by = Text::SetBy.with(language, &[("layer", &pick(&layer, language))]);
            out.push_str(&format!(" ({}, {})", escaped(&fired.condition), escaped(&by)));
        }
        if let Some(note) = &finding.note {
            out.push_str(&format!(", {}", escaped(note)));
        }
        let since = format!(", {} {}", self.say(Text::Since), self.moment(finding.since));
        format!("{out}{since}, {}", self.say(texts::change(finding.change)))
    }

    /// A fenced block below a list item, with a fence that its text can not close.
    fn block(&mut self, lines: &[String], deeper: &str) {
        let longest = lines.iter().map(|line| run_of_ticks(line)).max().unwrap_or(0);
        let fence = "`".repeat(3.max(longest + 1));
        for line in std::iter::once(fence.as_str()).chain(lines.iter().map(String::as_str)).chain([fence.as_str()]) {
            self.line(&format!("  {deeper}{line}"));
        }
    }

    fn coverage(&mut self) {
        self.heading(Text::Appendix);
        let coverage = &self.pages.inspection.coverage;
        let ran = [
            ("ran", &coverage.ran as &dyn std::fmt::Display),
            ("built", &coverage.built),
            ("checks", &coverage.checks),
        ];
        self.line(&format!("- {}: {}", self.say(Text::ChecksRun), Text::OfCatalogue.with(self.language(), &ran)));
        let unknown = Text::OfWhichUnknown.with(self.language(), &[("n", &coverage.unknown)]);
        self.line(&format!("- {}: {}, {unknown}", self.say(Text::Judgements), coverage.judgements));
        for (host, why) in &coverage.missing {
            self.line(&format!("- {}: {}: {}", self.say(Text::NotSeen), escaped(host.as_str()), escaped(why)));
        }
        if coverage.missing.is_empty() {
            self.line(&format!("- {}", self.say(Text::NoMissing)));
        }
    }
}

/// A state with a sign that chats show.
fn state(state: State, language: Language) -> String {
    let sign = match state {
        State::Ok => "✅",
        State::Skip | State::Info => "ℹ️",
        State::Expected | State::Waived => "⏸️",
        State::Unknown => "❔",
        State::Warn => "⚠️",
        State::Crit => "❌",
    };
    format!("{sign} {}", texts::state(state, language))
}

/// Why something can not be taken away.
pub(super) fn reasons(answer: &Restartable) -> String {
    match answer {
        Restartable::Yes => String::new(),
        Restartable::No(reasons) | Restartable::Unknown(reasons) => {
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Text that stays text. Any ASCII punctuation may be escaped
/// ([CommonMark 2.4](https://spec.commonmark.org/0.31.2/#backslash-escapes)); these have a meaning within a line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clipped(text, LONGEST).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '!' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    // Addresses would become links by themselves: GFM 6.9, extended autolinks.
    out.replace("://", "\\://").replace("www.", "www\\.")
}

/// A code span.
fn code(text: &str) -> String {
    let text = clipped(text, LONGEST);
    let fence = "`".repeat(run_of_ticks(&text) + 1);
    format!("{fence} {text} {fence}")
}

/// The longest run of backticks.
fn run_of_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
