//! Text for a terminal: the verdict, what changed, what is due, and the findings by cause.

use super::shape::{self, Deadline, Due, Group, Place, Row};
use super::texts::{self, Text, pick};
use super::words::{Moment, clipped, first, utc};
use super::{Language, Options, Pages, RenderError, Restartable, markdown};
use crate::report::{Paint, human_ms};
use kfleet_inspect::finding::Change;
use kfleet_inspect::{Finding, State};

/// Objects named in one line of changes.
const NAMED: usize = 3;

/// Lines of evidence of one finding; the page has all.
const EVIDENCE: usize = 3;

/// Characters of one text.
const LONGEST: usize = 300;

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let mut screen = Screen { pages, options, out: String::new() };
    screen.head();
    screen.changes();
    screen.due();
    screen.restart();
    screen.findings(Text::Findings, Place::Counts);
    screen.findings(Text::Information, Place::Info);
    screen.findings(Text::Accepted, Place::Accepted);
    screen.missing();
    Ok(screen.out)
}

struct Screen<'a> {
    pages: &'a Pages<'a>,
    options: &'a Options,
    out: String,
}

impl Screen<'_> {
    fn language(&self) -> Language {
        self.options.language
    }

    fn paint(&self) -> Paint {
        self.options.paint
    }

    fn say(&self, text: Text) -> &'static str {
        text.say(self.language())
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, text: Text) {
        let text = self.paint().strong(self.say(text));
        self.line(&format!("\n{text}"));
    }

    fn moment(&self, at: jiff::Timestamp) -> String {
        Moment::new(at, self.options.zone.as_ref()).text()
    }

    /// A state in its colour, as wide as the widest so that what follows stands in one column.
    fn state(&self, state: State) -> String {
        let name = texts::state(state, self.language());
        let wide = State::ALL.iter().map(|one| console::measure_text_width(texts::state(*one, self.language()))).max();
        let pad = " ".repeat(wide.unwrap_or(0).saturating_sub(console::measure_text_width(name)));
        format!("{}{pad}", self.coloured(state, name))
    }

    fn coloured(&self, state: State, text: &str) -> String {
        let paint = self.paint();
        match state {
            State::Ok => paint.good(text),
            State::Skip | State::Expected | State::Waived => paint.dim(text),
            State::Info => paint.quiet(text),
            State::Warn | State::Unknown => paint.changed(text),
            State::Crit => paint.bad(text),
        }
    }

    fn head(&mut self) {
        let inspection = self.pages.inspection;
        let verdict = format!(
            "{}: {}",
            texts::state(inspection.verdict, self.language()),
            self.say(texts::verdict(inspection.verdict))
        );
        let verdict = self.paint().strong(&self.coloured(inspection.verdict, &verdict));
        self.line(&format!("{} {}: {verdict}", self.say(Text::Title), inspection.fleet));
        let counted = inspection.counts.iter().rev().filter(|(_, n)| **n > 0);
        let counts: Vec<String> = counted
            .map(|(state, n)| self.coloured(*state, &format!("{n} {}", texts::state(*state, self.language()))))
            .collect();
        let counts = if counts.is_empty() { self.say(Text::NoFindings).to_owned() } else { counts.join(", ") };
        let coverage = &inspection.coverage;
        let hosts = format!("{}/{}", coverage.hosts_seen, coverage.hosts_expected);
        let hosts = if coverage.hosts_seen < coverage.hosts_expected { self.paint().bad(&hosts) } else { hosts };
        self.line(&format!(
            "{counts}  {} {}/100  {} {hosts}",
            self.say(Text::Score),
            inspection.score.points,
            self.say(Text::HostsSeen)
        ));
        let ran = [
            ("ran", &coverage.ran as &dyn std::fmt::Display),
            ("built", &coverage.built),
            ("checks", &coverage.checks),
        ];
        let unknown = Text::OfWhichUnknown.with(self.language(), &[("n", &coverage.unknown)]);
        let dim = format!(
            "{} {}; {}: {}, {} {}, {unknown}; {}",
            self.say(Text::JudgedAt),
            self.moment(inspection.run.judged_at),
            self.say(Text::ChecksRun),
            Text::OfCatalogue.with(self.language(), &ran),
            coverage.judgements,
            self.say(Text::Judgements).to_lowercase(),
            self.cost()
        );
        self.line(&self.paint().dim(&dim));
    }

    fn cost(&self) -> String {
        format!("{} {}", self.say(Text::Cost), human_ms(self.pages.inspection.run.cost.cpu_ms))
    }

    fn changes(&mut self) {
        let changed = shape::changed(self.pages.inspection);
        if changed.is_empty() && self.pages.happenings.is_empty() {
            return;
        }
        self.heading(Text::Changes);
        for one in &changed {
            let (names, more) = first(one.objects.iter().map(|object| clipped(&object.to_string(), LONGEST)), NAMED);
            let more = if more > 0 {
                format!(", {}", Text::More.with(self.language(), &[("n", &more)]))
            } else {
                String::new()
            };
            let line = format!(
                "  {} {} {}: {}{more}",
                self.change(one.change),
                self.state(one.state),
                clipped(pick(one.title, self.language()), LONGEST),
                names.join(", ")
            );
            self.line(&line);
        }
        for one in self.pages.happenings {
            let at = one.at.map_or_else(|| self.say(Text::Between).to_owned(), |at| self.moment(at));
            let kind = self.say(texts::happening(one.kind));
            let what = clipped(&format!("{}: {}", one.object, one.what), LONGEST);
            self.line(&self.paint().dim(&format!("  {at} {kind} {what}")));
        }
    }

    fn change(&self, change: Change) -> String {
        let word = self.say(texts::change(change));
        match change {
            Change::New | Change::Worse => self.paint().strong(word),
            Change::Better | Change::Fixed | Change::Gone => self.paint().good(word),
            Change::Unchanged | Change::Unseen => self.paint().dim(word),
        }
    }

    fn due(&mut self) {
        let all = shape::deadlines(self.pages.inspection);
        if all.is_empty() {
            return;
        }
        self.heading(Text::MustAct);
        for due in Due::ALL {
            for (_, what) in all.iter().filter(|(when, _)| *when == due) {
                let word = self.say(texts::due(due));
                let word = match due {
                    Due::Tonight => self.paint().bad(word),
                    Due::Week => self.paint().changed(word),
                    Due::Month | Due::Later => word.to_owned(),
                };
                let line = format!("  {word}: {}", self.deadline(what));
                self.line(&line);
            }
        }
    }

    fn deadline(&self, what: &Deadline<'_>) -> String {
        let language = self.language();
        match what {
            Deadline::Forecast(one) => format!(
                "{} {} {}, {} {}, {}",
                clipped(&one.object.to_string(), LONGEST),
                one.key,
                Text::Reaches.with(language, &[("limit", &one.limit)]),
                self.say(Text::Earliest).to_lowercase(),
                self.moment(one.earliest),
                Text::Likely.with(language, &[("at", &utc(one.reached))])
            ),
            Deadline::Waiver(one) => {
                let text = texts::waiver(one).with(language, &[("check", &one.check)]);
                let text = format!("{text}, {} ({} {})", one.object, self.say(Text::Owner), one.owner);
                format!("{} {}", self.moment(one.expires), clipped(&text, LONGEST))
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
            let any = self.answer(&cluster.any_member());
            self.line(&format!("  {name}: {members}; {}: {any}", self.say(Text::LoseMember)));
            for member in cluster.members.iter().filter(|member| member.restart != Restartable::Yes) {
                let why = clipped(&markdown::reasons(&member.restart), LONGEST);
                self.line(&format!("    {} ({}) {}: {why}", member.host, member.node, self.answer(&member.restart)));
            }
            for (rack, answer) in cluster.racks.iter().filter(|(_, answer)| **answer != Restartable::Yes) {
                let rack = Text::LoseRack.with(self.language(), &[("rack", rack)]);
                let why = clipped(&markdown::reasons(answer), LONGEST);
                self.line(&format!("    {}: {}: {why}", clipped(&rack, LONGEST), self.answer(answer)));
            }
        }
    }

    fn answer(&self, answer: &Restartable) -> String {
        let word = self.say(texts::restartable(answer));
        match answer {
            Restartable::Yes => self.paint().good(word),
            Restartable::No(_) => self.paint().bad(word),
            Restartable::Unknown(_) => self.paint().changed(word),
        }
    }

    fn findings(&mut self, heading: Text, place: Place) {
        let groups = shape::groups(self.pages.inspection, place);
        if groups.is_empty() {
            return;
        }
        self.heading(heading);
        for group in &groups {
            self.group(group);
        }
    }

    fn group(&mut self, group: &Group<'_>) {
        let (language, lead) = (self.language(), group.lead);
        let id = self.paint().dim(lead.check.as_str());
        let title = self.paint().strong(&clipped(pick(&lead.title, language), LONGEST));
        let line = format!("  {} {title}  {id}", self.state(group.state));
        self.line(&line);
        for row in group.rows.iter().take(self.options.rows) {
            self.row(row);
        }
        let more = group.rows.len().saturating_sub(self.options.rows);
        if more > 0 {
            let more = Text::MoreObjects.with(language, &[("n", &more)]);
            self.line(&self.paint().dim(&format!("      {more}")));
        }
        let advice = clipped(pick(&lead.advice, language), LONGEST);
        self.line(&format!("    {}: {advice}", self.say(Text::Advice)));
    }

    fn row(&mut self, row: &Row<'_>) {
        let line = format!("    {} {}", self.state(row.finding.state), self.finding(row.finding));
        self.line(&line);
        let (lines, more) = first(&row.finding.evidence, EVIDENCE);
        for line in lines {
            self.line(&self.paint().dim(&format!("        {}", clipped(&line, LONGEST))));
        }
        if more > 0 {
            let more = Text::More.with(self.language(), &[("n", &more)]);
            self.line(&self.paint().dim(&format!("        {more}")));
        }
        if let Some(fix) = &row.finding.fix {
            self.line(&format!("        $ {}", self.paint().quiet(&clipped(fix, LONGEST))));
        }
        if !row.followers.is_empty() {
            let explains = Text::Explains.with(self.language(), &[("n", &row.followers.len())]);
            self.line(&format!("        {explains}:"));
        }
        for follower in row.followers.iter().take(self.options.rows) {
            let line =
                format!("          {} {} {}", self.state(follower.state), follower.check, self.finding(follower));
            self.line(&line);
        }
    }

    fn finding(&self, finding: &Finding) -> String {
        let mut out = clipped(&finding.object.to_string(), LONGEST);
        if let Some(reading) = &finding.reading {
            out.push_str(&format!("  {}", self.paint().strong(&clipped(&reading.to_string(), LONGEST))));
        }
        if let Some(fired) = &finding.threshold {
            out.push_str(&self.paint().dim(&format!(" ({})", clipped(&fired.condition, LONGEST))));
        }
        for text in [&finding.note, &finding.waiver, &finding.window].into_iter().flatten() {
            out.push_str(&format!("  {}", clipped(text, LONGEST)));
        }
        if finding.change != Change::Unchanged {
            out.push_str(&format!("  {}", self.change(finding.change)));
        }
        out
    }

    fn missing(&mut self) {
        let missing = &self.pages.inspection.coverage.missing;
        if missing.is_empty() {
            return;
        }
        self.heading(Text::Missing);
        for (host, why) in missing.iter().take(self.options.rows) {
            self.line(&format!("  {}: {}", self.paint().bad(host.as_str()), clipped(why, LONGEST)));
        }
        let more = missing.len().saturating_sub(self.options.rows);
        if more > 0 {
            let more = Text::More.with(self.language(), &[("n", &more)]);
            self.line(&self.paint().dim(&format!("  {more}")));
        }
    }
}

#[cfg(test)]
mod tests;
