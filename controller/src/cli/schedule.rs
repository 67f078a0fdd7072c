//! `kfleet schedule`: what is due when, how the last runs ended, and a run now.

use super::exit::Exit;
use super::serve::{desk, entries, take_lock};
use super::{CliError, Outcome};
use crate::execute::Interrupts;
use crate::fleet::Fleet;
use crate::history::{ScheduleEnd, ScheduleRun, Store};
use crate::report;
use crate::schedule::rules::{self, Occurrence};
use crate::schedule::{Desk, Entry, FILE, Next, Ran};
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How many occurrences to come are shown.
const SHOWN: usize = 3;

/// How many of the occurrences that were are looked through for the ones that were missed.
const LOOKED_AT: u32 = 1_000;

/// How late a start may be where a timer looks every five minutes: three looks.
const TIMER_GRACE: SignedDuration = SignedDuration::from_mins(15);

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the schedules: the next three occurrences, the last outcome, what was missed
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check schedule.yml, and that every schedule was run as it promises
    ///
    /// Ends with 3 when the file is wrong; with 2 when the last run of a schedule was not done in full, or one is overdue, so
    /// that a monitoring system can watch whoever runs them.
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a schedule's job now; or with --due all that are due, and nothing when none is
    Run {
        /// Its name
        #[arg(value_name = "NAME", required_unless_present = "due", conflicts_with = "due")]
        name: Option<String>,
        /// What is due by the file, as `kfleet serve` would: for a timer that looks every few minutes
        #[arg(long)]
        due: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let entries = entries(fleet).map_err(CliError::input)?;
    let store = Store::open(&fleet.database()).await?;
    match command {
        Command::List { json } => list(&store, &entries, *json).await,
        Command::Check { json } => check(&store, &entries, *json).await,
        Command::Run { name: Some(name), json, .. } => {
            let known = || entries.iter().map(|entry| entry.schedule.name.as_str());
            let entry = entries.iter().find(|entry| entry.schedule.name == *name).ok_or_else(|| {
                let near = kfleet_model::module::nearest(name, known());
                let hint = near
                    .map_or_else(|| "see `kfleet schedule list`".to_owned(), |near| format!("did you mean '{near}'?"));
                CliError::input(format!("{FILE} has no schedule {name}")).hint(hint)
            })?;
            let desk = desk(fleet, &store);
            stoppable(async |stop| by_hand(&desk, entry, stop).await, *json).await
        }
        Command::Run { name: None, json, .. } => {
            // Two that settle the same occurrences would tell each of them twice.
            let _lock = take_lock(fleet)?;
            let desk = desk(fleet, &store);
            stoppable(async |stop| all_due(&desk, &entries, stop).await, *json).await
        }
    }
}

/// What is known of a schedule.
struct Standing<'a> {
    entry: &'a Entry,
    next: Vec<Occurrence>,
    last: Option<ScheduleRun>,
    missed: Vec<Timestamp>,
    /// The first occurrence that should have been settled and is not.
    overdue: Option<Occurrence>,
    watched: bool,
}

impl<'a> Standing<'a> {
    async fn of(store: &Store, entry: &'a Entry, now: Timestamp) -> Result<Self, CliError> {
        let schedule = &entry.schedule;
        // One whose time has come may still wait for its jitter.
        let first = schedule.next(now - schedule.jitter);
        let next = std::iter::successors(first, |occurrence| schedule.next(occurrence.at));
        let next = next.filter(|occurrence| occurrence.start > now);
        let runs = store.schedule_runs(&schedule.name, LOOKED_AT).await?;
        let until = store.schedule_until(&schedule.name, &entry.rule()).await?;
        let due = until.and_then(|until| schedule.next(until));
        let missed = runs.iter().filter(|run| run.outcome == Some(ScheduleEnd::Missed));
        Ok(Self {
            entry,
            next: next.take(SHOWN).collect(),
            missed: missed.map(|run| run.occurrence).collect(),
            last: runs.into_iter().next(),
            overdue: due.filter(|due| now.duration_since(due.start) > TIMER_GRACE),
            watched: until.is_some(),
        })
    }

    fn name(&self) -> &str {
        &self.entry.schedule.name
    }

    fn last_word(&self) -> &'static str {
        match &self.last {
            None => "never run",
            Some(run) => run.outcome.map_or("running", ScheduleEnd::name),
        }
    }

    /// Why it is not well.
    fn fault(&self) -> Option<String> {
        if let Some(overdue) = self.overdue {
            return Some(format!("nobody ran it at {}", self.entry.local(overdue.start)));
        }
        let run = self.last.as_ref()?;
        let end = run.outcome.filter(|end| *end != ScheduleEnd::Done)?;
        Some(format!("the run of {} was {}: {}", self.entry.local(run.occurrence), end.name(), run.detail))
    }

    fn json(&self) -> Value {
        let next = self
            .next
            .iter()
            .map(|next| json!({"occurrence": next.at, "start": next.start, "local": self.entry.local(next.at)}));
        json!({"name": self.name(), "cron": self.entry.schedule.calendar.text(), "zone": self.entry.zone,
            "next": next.collect::<Vec<_>>(), "last": self.last, "missed": self.missed,
            "watched": self.watched, "fault": self.fault()})
    }
}

async fn standings<'a>(store: &Store, entries: &'a [Entry]) -> Result<Vec<Standing<'a>>, CliError> {
    let now = Timestamp::now();
    let mut all = Vec::new();
    for entry in entries {
        all.push(Standing::of(store, entry, now).await?);
    }
    Ok(all)
}

async fn list(store: &Store, entries: &[Entry], json: bool) -> Outcome {
    let all = standings(store, entries).await?;
    if json {
        let all: Vec<Value> = all.iter().map(Standing::json).collect();
        report::print(&format!("{:#}\n", Value::Array(all)));
        return Ok(Exit::Ok);
    }
    let mut rows = Vec::new();
    for standing in &all {
        let missed = if standing.missed.is_empty() { String::new() } else { standing.missed.len().to_string() };
        let mut head = vec![standing.name().to_owned(), standing.last_word().to_owned(), missed];
        for next in &standing.next {
            let utc = next.start.strftime("%Y-%m-%d %H:%M:%S").to_string();
            rows.push([head, vec![standing.entry.local(next.start), utc]].concat());
            head = vec![String::new(); 3];
        }
    }
    report::print(&report::table::render(&["schedule", "last", "missed", "next starts", "in UTC"], &rows));
    Ok(Exit::Ok)
}

async fn check(store: &Store, entries: &[Entry], json: bool) -> Outcome {
    let all = standings(store, entries).await?;
    if json {
        let all: Vec<Value> = all.iter().map(Standing::json).collect();
        report::print(&format!("{:#}\n", Value::Array(all)));
    } else {
        for standing in &all {
            let word = match (standing.fault(), standing.watched) {
                (Some(fault), _) => fault,
                (None, true) => format!("ok, {}", standing.last_word()),
                (None, false) => "not watched by anybody yet: start `kfleet serve` or the timer".to_owned(),
            };
            report::print(&format!("{}: {}\n", standing.name(), report::safe(&word)));
        }
    }
    Ok(if all.iter().any(|standing| standing.fault().is_some()) { Exit::Failed } else { Exit::Ok })
}

/// A run and its schedule.
type Told = (String, Ran);

async fn by_hand(desk: &Desk, entry: &Entry, stop: &CancellationToken) -> Result<Vec<Told>, CliError> {
    desk.interrupted(&[entry]).await?;
    let ran = desk.run_by_hand(entry, stop).await?;
    Ok(vec![(entry.schedule.name.clone(), ran)])
}

async fn all_due(desk: &Desk, entries: &[Entry], stop: &CancellationToken) -> Result<Vec<Told>, CliError> {
    desk.interrupted(&entries.iter().collect::<Vec<_>>()).await?;
    let mut told = Vec::new();
    for entry in entries {
        while !stop.is_cancelled() {
            match desk.next(entry, rules::Job::Idle, TIMER_GRACE).await? {
                Next::Run(occurrence) => {
                    let ran = match desk.begin_due(entry, occurrence).await? {
                        Ok(begun) => desk.finish_due(entry, begun, stop).await?,
                        Err(holder) => Ran::Held(Box::new(holder)),
                    };
                    told.push((entry.schedule.name.clone(), ran));
                }
                Next::Wait(_) => break,
            }
        }
    }
    Ok(told)
}

/// Runs until Ctrl-C, and shows what became of it.
async fn stoppable(work: impl AsyncFnOnce(&CancellationToken) -> Result<Vec<Told>, CliError>, json: bool) -> Outcome {
    let stop = CancellationToken::new();
    let working = work(&stop);
    tokio::pin!(working);
    let mut interrupts = Interrupts::listen();
    let told = loop {
        // Cancel safe: the work is pinned outside, a signal that is not read stays pending.
        tokio::select! {
            told = &mut working => break told?,
            () = interrupts.next() => stop.cancel(),
        }
    };
    show(&told, json);
    Ok(told.iter().map(|(_, ran)| exit(ran)).find(|exit| *exit != Exit::Ok).unwrap_or(Exit::Ok))
}

fn show(told: &[Told], json: bool) {
    for (name, ran) in told {
        let (word, detail) = match ran {
            Ran::Ended { end, detail } => (end.name(), detail.clone()),
            Ran::Held(holder) => ("not begun", format!("process {} is running it", holder.pid)),
        };
        if json {
            report::print(&format!("{}\n", json!({"schedule": name, "outcome": word, "detail": detail})));
        } else {
            report::print(&format!("{name}: {word}: {}\n", report::safe(&detail)));
        }
    }
}

fn exit(ran: &Ran) -> Exit {
    match ran {
        Ran::Ended { end: ScheduleEnd::Done, .. } => Exit::Ok,
        Ran::Ended { end: ScheduleEnd::Partial, .. } => Exit::Unreachable,
        Ran::Ended { end: ScheduleEnd::Cancelled, .. } => Exit::Cancelled,
        Ran::Ended {
            end:
                ScheduleEnd::Failed
                | ScheduleEnd::Overran
                | ScheduleEnd::Interrupted
                | ScheduleEnd::Missed
                | ScheduleEnd::Overlapped,
            ..
        } => Exit::Failed,
        Ran::Held(_) => Exit::Refused,
    }
}
