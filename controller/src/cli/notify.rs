//! `kfleet notify`: the channels that inspections are told through.

use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::fleet::Fleet;
use crate::notify::channel::Style;
use crate::notify::send::{Delivery, Outcome as End, Paced, Retry, deliver};
use crate::notify::settings::{self, Configured, FILE};
use crate::notify::{Mark, Notify, test_message};
use crate::report;
use clap::Subcommand;
use jiff::Timestamp;
use kfleet_model::FleetName;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the channels of notify.yml and which routes lead to them
    List(ListArgs),
    /// Send a test message to channels, and show what their peers answer
    ///
    /// The message says that it is a test. Each channel is tried once, and the peer's answer is shown as it is (secrets
    /// masked). An event channel (PagerDuty, Alertmanager) gets an event of severity info and then its end. Ends with 0 when
    /// all took it, with 2 when one refused it, with 6 when it may have arrived, with 4 when the only fault is that a peer
    /// can not be reached, with 3 when notify.yml is not valid.
    Test(TestArgs),
}

/// Arguments of `kfleet notify list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `kfleet notify test`.
#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// Channels of notify.yml; all by default
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    match command {
        Command::List(args) => list(fleet, args),
        Command::Test(args) => test(fleet, args).await,
    }
}

/// The settings; warnings are told, errors end the command.
fn load(fleet: &Fleet) -> Result<Notify, CliError> {
    let loaded = settings::load(&fleet.dir)
        .map_err(|error| CliError::input(format!("failed to read {}: {error}", fleet.dir.join(FILE).display())))?;
    match loaded.notify {
        Some(notify) => {
            if !loaded.diagnostics.is_empty() {
                report::eprint(report::diagnostics(&loaded.diagnostics).trim_end());
            }
            Ok(notify)
        }
        None => Err(CliError::Diagnostics(loaded.diagnostics)),
    }
}

/// The numbers of the routes that lead to a channel, from 1.
fn routes_of(notify: &Notify, name: &str) -> Vec<usize> {
    let routes = notify.routing.routes.iter().enumerate();
    routes.filter(|(_, route)| route.leads_to(name)).map(|(at, _)| at + 1).collect()
}

fn list(fleet: &Fleet, args: &ListArgs) -> Outcome {
    let notify = load(fleet)?;
    if args.json {
        let channels: Vec<serde_json::Value> = notify
            .channels
            .values()
            .map(|configured| {
                serde_json::json!({"channel": configured.name, "type": configured.kind.name,
                    "language": configured.language, "target": configured.channel.target(),
                    "routes": routes_of(&notify, &configured.name)})
            })
            .collect();
        report::print(&format!("{:#}\n", serde_json::json!(channels)));
    } else {
        report::print(&listed(&notify));
    }
    Ok(Exit::Ok)
}

fn listed(notify: &Notify) -> String {
    if notify.channels.is_empty() {
        return format!("no channels; write them into {FILE} of the fleet directory\n");
    }
    let rows: Vec<Vec<String>> = notify
        .channels
        .values()
        .map(|configured| {
            let routes: Vec<String> = routes_of(notify, &configured.name).iter().map(ToString::to_string).collect();
            let routes = if routes.is_empty() { "none: nothing is sent there".to_owned() } else { routes.join(", ") };
            let (kind, language) = (configured.kind.name.to_owned(), configured.language.name().to_owned());
            vec![configured.name.clone(), kind, language, configured.channel.target(), routes]
        })
        .collect();
    report::table::render(&["channel", "type", "language", "target", "routes"], &rows)
}

async fn test(fleet: &Fleet, args: &TestArgs) -> Outcome {
    let notify = load(fleet)?;
    let name = FleetName::new(&*fleet.settings.fleet).map_err(|error| CliError::input(error.to_string()))?;
    let chosen = chosen(&notify, &args.channels)?;
    let mut deliveries = Vec::new();
    for configured in chosen {
        let delivery = try_channel(configured, &name).await;
        if !args.json {
            report::print(&told(configured, &delivery));
        }
        deliveries.push(delivery);
    }
    if args.json {
        let all: Vec<serde_json::Value> = deliveries.iter().map(json).collect();
        report::print(&format!("{:#}\n", serde_json::json!(all)));
    }
    Ok(exit(&deliveries))
}

fn chosen<'a>(notify: &'a Notify, names: &[String]) -> Result<Vec<&'a Configured>, CliError> {
    if notify.channels.is_empty() {
        return Err(CliError::input(format!("{FILE} has no channels")).hint("docs/notices.md shows how to write one"));
    }
    if names.is_empty() {
        return Ok(notify.channels.values().collect());
    }
    let find = |name: &String| {
        notify.channels.get(name).ok_or_else(|| {
            let known: Vec<&str> = notify.channels.keys().map(String::as_str).collect();
            CliError::input(format!("{FILE} has no channel {name:?}; it has {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// Sends the test message, and for a channel of events its end, so that no incident stays open.
async fn try_channel(configured: &Configured, fleet: &FleetName) -> Delivery {
    let mut paced = Paced::default();
    let message = |mark| test_message(fleet, configured.language, Timestamp::now(), mark);
    let (opened, ended) = (message(Mark::New), message(Mark::Fixed));
    let delivery = deliver(configured, &opened, None, Retry::ONCE, &mut paced).await;
    let events = match configured.kind.style {
        Style::Event | Style::State => true,
        Style::Chat => false,
    };
    if events && delivery.outcome == End::Delivered {
        return deliver(configured, &ended, None, Retry::ONCE, &mut paced).await;
    }
    delivery
}

fn verdict(end: &End) -> (String, Option<&'static str>) {
    match end {
        End::Delivered => ("delivered".to_owned(), None),
        End::Refused { why, hint } => (format!("REFUSED: {why}"), *hint),
        End::Exhausted { why } => (format!("NOT DELIVERED: {why}"), None),
        End::Unknown { why } => (format!("UNKNOWN, it may have arrived: {why}"), None),
    }
}

fn told(configured: &Configured, delivery: &Delivery) -> String {
    let (verdict, hint) = verdict(&delivery.outcome);
    let mut text = format!("{} ({}) {}\n", delivery.channel, configured.kind.name, delivery.target);
    text.push_str(&format!("  {}\n", report::safe(&verdict)));
    match delivery.status {
        Some(status) => text.push_str(&format!("  status: {status}\n")),
        None => text.push_str("  status: none, the peer said nothing\n"),
    }
    if !delivery.raw.is_empty() {
        text.push_str(&format!("  answer: {}\n", report::safe(delivery.raw.trim_end()).replace('\n', "\n          ")));
    }
    text.extend(hint.map(|hint| format!("  hint: {hint}\n")));
    text
}

fn json(delivery: &Delivery) -> serde_json::Value {
    let (verdict, hint) = verdict(&delivery.outcome);
    serde_json::json!({"channel": delivery.channel, "target": delivery.target, "title": delivery.title,
        "delivered": delivery.outcome == End::Delivered, "verdict": verdict, "hint": hint, "status": delivery.status,
        "answer": delivery.raw})
}

fn exit(deliveries: &[Delivery]) -> Exit {
    let rank = |delivery: &Delivery| match (&delivery.outcome, delivery.status) {
        (End::Delivered, _) => (0, Exit::Ok),
        (End::Exhausted { .. }, None) => (1, Exit::Unreachable),
        (End::Unknown { .. }, _) => (2, Exit::Unknown),
        (End::Refused { .. }, _) | (End::Exhausted { .. }, Some(_)) => (3, Exit::Failed),
    };
    deliveries.iter().map(rank).max_by_key(|(rank, _)| *rank).map_or(Exit::Ok, |(_, exit)| exit)
}

#[cfg(test)]
mod tests;
