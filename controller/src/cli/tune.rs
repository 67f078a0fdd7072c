//! `kfleet tune`: the operating system of hosts, by the shipped playbook.

use super::launch::{Request, Style, launch};
use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::fleet::Fleet;
use crate::history::Store;
use crate::report::TuneAct;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use kfleet_model::{Map, Value};
use std::collections::BTreeMap;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell what differs from what the hosts' profiles want; nothing is changed
    ///
    /// Ends with 0 when nothing differs (what only waits for a restart of the service does not count), with 2 when
    /// something does, also where it can not be set from the host. With -v, what fits is shown too.
    Check(TuneArgs),
    /// As check, with the reason, the source and the risk of each change, and what has to be restarted
    Plan(TuneArgs),
    /// Set what differs, in the running kernel and for the next boot
    ///
    /// Services are not restarted: what waits for that is told, and `kfleet roll restart` does it. What was there before is
    /// recorded on each host first.
    Apply(TuneArgs),
    /// Put back what was there before the first apply
    ///
    /// What somebody changed since is told and left, unless --force is given.
    Revert(RevertArgs),
}

/// Arguments of check, plan and apply.
#[derive(Debug, ClapArgs)]
pub(super) struct TuneArgs {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// What the hosts are tuned for; by default each as its kfleet_role says
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// Leave an item alone: its id, or a beginning of it up to a dot; may be repeated
    #[arg(long, value_name = "ID")]
    leave_out: Vec<String>,
    /// Another value than the rule's; may be repeated
    #[arg(long, value_name = "ID=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    play: PlayArgs,
}

/// Arguments of revert.
#[derive(Debug, ClapArgs)]
pub(super) struct RevertArgs {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Put back also what somebody changed after kfleet did
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    play: PlayArgs,
}

/// What a host is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Profile {
    /// A Kafka broker, also one with the role of a KRaft controller
    Broker,
    /// A ZooKeeper server
    Zookeeper,
    /// A KRaft controller that is no broker
    KraftController,
}

impl Profile {
    fn word(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Zookeeper => "zookeeper",
            Self::KraftController => "kraft_controller",
        }
    }
}

const NAME: &str = "tune.yml";
const TUNE: &str = include_str!("../../../playbooks/tune.yml");

/// The variables of the play that the arguments become.
fn variables(args: &TuneArgs) -> Result<Map, CliError> {
    let mut settings = Map::new();
    for text in &args.set {
        let (id, value) = text.split_once('=').ok_or_else(|| {
            CliError::input(format!("--set {text}: '{text}' is not ID=VALUE"))
                .hint("write --set sysctl.vm.swappiness=10")
        })?;
        settings.insert(id.trim().to_owned(), value.trim().into());
    }
    let mut vars = Map::from_iter([
        ("tune_hosts".to_owned(), Value::from(args.pattern.clone())),
        ("tune_state".to_owned(), "present".into()),
        ("tune_more_left_out".to_owned(), args.leave_out.clone().into()),
        ("tune_more_settings".to_owned(), Value::Object(settings)),
    ]);
    if let Some(profile) = args.profile {
        vars.insert("tune_profile".to_owned(), profile.word().into());
    }
    Ok(vars)
}

fn request(command: &Command) -> Result<Request, CliError> {
    let (act, pattern, vars, play) = match command {
        Command::Check(args) => (TuneAct::Check, &args.pattern, variables(args)?, &args.play),
        Command::Plan(args) => (TuneAct::Plan, &args.pattern, variables(args)?, &args.play),
        Command::Apply(args) => (TuneAct::Apply, &args.pattern, variables(args)?, &args.play),
        Command::Revert(args) => {
            let vars = Map::from_iter([
                ("tune_hosts".to_owned(), Value::from(args.pattern.clone())),
                ("tune_state".to_owned(), "absent".into()),
                ("tune_force".to_owned(), args.force.into()),
            ]);
            (TuneAct::Revert, &args.pattern, vars, &args.play)
        }
    };
    let mut play = play.clone();
    play.check |= matches!(act, TuneAct::Check | TuneAct::Plan);
    Ok(Request {
        command: format!("tune {}", act.word()),
        what: format!("tune {} {pattern}", act.word()),
        playbooks: vec![NAME.to_owned()],
        built_in: BTreeMap::from([(NAME.to_owned(), TUNE.to_owned())]),
        vars,
        style: Style::Tuning(act),
        args: play,
        root: std::env::current_dir().map_err(|error| CliError::internal(&error))?,
    })
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let request = request(command)?;
    let store = Store::open(&fleet.database()).await?;
    launch(fleet, request, store, None).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    fn parsed(words: &[&str]) -> Result<Request, String> {
        let cli =
            Cli::try_parse_from(std::iter::once("tune").chain(words.iter().copied())).map_err(|e| e.to_string())?;
        request(&cli.command).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn check_and_plan_change_nothing_and_choices_become_variables() {
        for (act, check) in [("check", true), ("plan", true), ("apply", false), ("revert", false)] {
            assert_eq!(parsed(&[act, "kafka"]).unwrap().args.check, check, "{act}");
        }
        let words =
            ["apply", "kafka:!kafka3", "--profile", "kraft_controller", "--leave-out", "thp", "--leave-out", "swap"];
        let request = parsed(&[&words[..], &["--set", "sysctl.vm.swappiness=10"]].concat()).unwrap();
        let wanted = serde_json::json!({
            "tune_hosts": "kafka:!kafka3", "tune_state": "present", "tune_profile": "kraft_controller",
            "tune_more_left_out": ["thp", "swap"], "tune_more_settings": {"sysctl.vm.swappiness": "10"},
        });
        assert_eq!(Value::Object(request.vars), wanted);
        let undone = parsed(&["revert", "all", "--force"]).unwrap();
        assert_eq!((&undone.vars["tune_state"], &undone.vars["tune_force"]), (&"absent".into(), &true.into()));
        assert!(parsed(&["apply", "kafka", "--set", "swap"]).unwrap_err().contains("is not ID=VALUE"));
        assert!(parsed(&["apply", "kafka", "--profile", "brocker"]).unwrap_err().contains("broker"));
    }
}
