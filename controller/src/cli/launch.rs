//! From arguments to a run: loads inventory and playbooks, checks everything, opens the store, and runs.
//!
//! `run`, `exec`, `roll` and `resume` all come through here, so they differ only in what they ask for.

use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::execute::{
    ACTIONS, DiskFiles, Dispatcher, FleetHosts, Options, RecordedFiles, Run, RunInput, Session, TlsDial, now, process,
};
use crate::fleet::Fleet;
use crate::history::{OpRecord, RunRecord, Store};
use crate::report::{AdHoc, Consumer, Differs, JsonLines, Terminal, TuneAct, Tuning, Verbosity};
use kfleet_model::{Class, Map, OperatorName, RunId};
use kfleet_pki::{ClientConfigs, FleetStore, TlsOptions};
use kfleet_playbook::Diagnostics;
use kfleet_playbook::catalogue::Catalogue;
use kfleet_playbook::files::{FileError, FileKind, Files, MemoryFiles};
use kfleet_playbook::lint::Lint;
use kfleet_playbook::parse;
use kfleet_playbook::plan::{Plan, Template};
use kfleet_playbook::template::{Engine, NoLookups};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What to run; stored with the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// The subcommand, for people.
    pub(super) command: String,
    /// What runs, for people.
    pub(super) what: String,
    /// The playbooks' paths.
    pub(super) playbooks: Vec<String>,
    /// Playbooks that are not on the disk: shipped ones, ad-hoc ones.
    pub(super) built_in: BTreeMap<String, String>,
    /// Variables that the command itself sets; those of `-e` win.
    pub(super) vars: Map,
    /// How results are shown.
    pub(super) style: Style,
    /// The operator's choices.
    pub(super) args: PlayArgs,
    /// Where relative paths begin.
    pub(super) root: PathBuf,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Style {
    /// As a playbook's.
    Playbook,
    /// As an ad-hoc command's.
    AdHoc,
    /// As a table of what is tuned.
    Tuning(TuneAct),
}

/// Everything of a request that was read and found good.
pub(super) struct Loaded {
    pub(super) plan: Plan,
    pub(super) fleet: FleetHosts,
    pub(super) extra_vars: Map,
    pub(super) catalogue: Catalogue,
    pub(super) files: Arc<RecordedFiles>,
    pub(super) warnings: Diagnostics,
}

/// Files of the disk below those that are built in.
struct Layered {
    built_in: MemoryFiles,
    disk: DiskFiles,
}

impl Files for Layered {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.built_in.read(path).or_else(|_| self.disk.read(path))
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        if self.built_in.is_file(path) { Some(FileKind::File) } else { self.disk.kind(path) }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, FileError> {
        self.disk.list_dir(path)
    }
}

/// The modules that this version knows, and its own actions.
pub(super) fn catalogue() -> Catalogue {
    let modules = kfleet_playbook::catalogue::agent_modules();
    let own = ACTIONS.iter().copied().chain([
        "meta",
        "include_tasks",
        "include_role",
        "import_tasks",
        "import_role",
        "import_playbook",
        "include",
    ]);
    Catalogue::new(&modules, own)
}

/// Reads and checks everything that a request names. No host is touched.
pub(super) fn load(fleet: &Fleet, request: &Request, kept: BTreeMap<PathBuf, Vec<u8>>) -> Result<Loaded, CliError> {
    let layered = Layered { built_in: MemoryFiles::new(request.built_in.clone()), disk: DiskFiles::new(&request.root) };
    let files = Arc::new(RecordedFiles::new(layered, &request.root, kept));
    let catalogue = catalogue();
    let mut extra_vars = request.vars.clone();
    extra_vars.extend(request.args.variables(&request.root)?);
    let mut all = Diagnostics::new();
    let inventories = request.args.inventories(fleet.inventories());
    let hosts = FleetHosts::load(&*files, &inventories, &request.playbooks, request.args.limit.as_deref(), &mut all);
    let options = parse::Options { extra_vars: extra_vars.clone(), ..parse::Options::default() };
    let loaded = parse::load_playbooks(&*files, &catalogue, &options, &request.playbooks);
    all.extend(loaded.diagnostics);
    let known = hosts.variable_names();
    let engine = Engine::new(Arc::new(NoLookups));
    let lint =
        Lint { files: &*files, catalogue: &catalogue, options: &options, engine: &engine, inventory: Some(&known) };
    all.extend(lint.check(&loaded.plan));
    for play in loaded.plan.plays.iter().filter(|play| !play.hosts.iter().any(Template::is_open)) {
        all.extend(hosts.select(&play.hosts).1);
    }
    if all.has_errors() {
        return Err(CliError::Diagnostics(all));
    }
    Ok(Loaded { plan: loaded.plan, fleet: hosts, extra_vars, catalogue, files, warnings: all })
}

/// A run that is taken up again.
pub(super) struct Resumed {
    pub(super) record: RunRecord,
    pub(super) next_seq: u64,
    pub(super) ops: Vec<OpRecord>,
}

/// Runs a request, as a new run or as one that is taken up again.
pub(super) async fn launch(fleet: &Fleet, request: Request, store: Store, resumed: Option<Resumed>) -> Outcome {
    let kept = match &resumed {
        Some(resumed) => store.run_files(&resumed.record.run_id).await?,
        None => BTreeMap::new(),
    };
    let loaded = load(fleet, &request, kept)?;
    if !loaded.warnings.is_empty() && !request.args.json {
        crate::report::eprint(crate::report::diagnostics(&loaded.warnings).trim_end());
    }
    let dial = dial(fleet)?;
    let owner = owner();
    let (pid, pid_started) = process::this();
    let (run_id, next_seq, ops, resumes) = match resumed {
        Some(resumed) => {
            store.reopen_run(&resumed.record.run_id, pid, pid_started).await?;
            (resumed.record.run_id, resumed.next_seq, resumed.ops, resumed.record.resumes + 1)
        }
        None => {
            let record = RunRecord {
                run_id: new_run_id()?,
                command: request.command.clone(),
                what: request.what.clone(),
                request: serde_json::to_string(&request).map_err(|error| CliError::internal(&error))?,
                plan_hash: loaded.plan.hash.clone(),
                owner: owner.clone(),
                check: request.args.check,
                started: now(),
                ended: None,
                end: None,
                resumes: 0,
                pid,
                pid_started,
            };
            store.create_run(&record, &loaded.files.kept()).await?;
            (record.run_id, 0, Vec::new(), 0)
        }
    };
    let differs = Differs::default();
    let (dispatcher, events) =
        Dispatcher::start(run_id.clone(), next_seq, Some(store.clone()), consumers(&request, &differs));
    let input = RunInput {
        id: run_id,
        options: Options {
            whole_results: request.style == Style::AdHoc && !request.args.json,
            ..options(fleet, &request.args)
        },
        plan: loaded.plan,
        fleet: loaded.fleet,
        extra_vars: loaded.extra_vars,
        catalogue: loaded.catalogue,
        files: loaded.files,
        pki: fleet.pki(),
        dial,
        events,
        store: store.clone(),
        owner,
        resumes,
        earlier: ops,
    };
    let run = Run::start(input);
    let (ended, stored) = Session::new(run, dispatcher).run(&request.what).await;
    store.close().await;
    stored?;
    let exit = match ended.class {
        Some(class) => Exit::of_class(class),
        None => Exit::of_run(ended.end, ended.counts.failed, ended.counts.unreachable, ended.counts.unknown),
    };
    // A look that found a difference has done its work, and has the exit code of `time check` for it.
    Ok(if exit == Exit::Ok && differs.get() { Exit::Failed } else { exit })
}

fn options(fleet: &Fleet, args: &PlayArgs) -> Options {
    Options {
        check: args.check,
        diff: args.diff,
        forks: args.forks.unwrap_or(fleet.settings.forks).max(1),
        force_handlers: args.force_handlers,
        whole_results: false,
        show_output: args.verbose > 0 || args.json,
        verbosity: u32::from(args.verbose),
        task_timeout: Duration::from_secs(args.timeout.unwrap_or(fleet.settings.task_timeout_s).max(1)),
        connect_timeout: Duration::from_secs(fleet.settings.connect_timeout_s.max(1)),
        agent_port: fleet.settings.agent_port,
        tags: args.tag_filter(),
        limit: args.limit.clone(),
    }
}

fn consumers(request: &Request, differs: &Differs) -> Vec<Box<dyn Consumer>> {
    let args = &request.args;
    let verbosity = if args.verbose > 0 { Verbosity::Values } else { Verbosity::Normal };
    vec![match request.style {
        Style::Tuning(act) => Box::new(Tuning::new(act, args.check, args.json, verbosity, differs.clone())),
        Style::Playbook | Style::AdHoc if args.json => Box::new(JsonLines),
        Style::Playbook => Box::new(Terminal::new(verbosity, args.diff)),
        Style::AdHoc => Box::new(AdHoc::new(verbosity, args.diff)),
    }]
}

/// The operator's certificate, ready to call hosts.
pub(super) fn dial(fleet: &Fleet) -> Result<Arc<TlsDial>, CliError> {
    let operator = OperatorName::new(fleet.settings.operator.as_str())
        .map_err(|error| CliError::input(format!("{}: operator: {error}", crate::fleet::SETTINGS)))?;
    let material = FleetStore::open(&fleet.pki())?.load_operator(&operator, jiff::Timestamp::now())?;
    let configs = ClientConfigs::new(&material, &TlsOptions::default())
        .map_err(|error| CliError::new(Class::Input, crate::report::chain(&error)))?;
    Ok(Arc::new(TlsDial::new(configs, Duration::from_secs(fleet.settings.connect_timeout_s.max(1)))))
}

/// Sorts by time and can be typed: the UTC date and time, and four letters against two runs in one second.
fn new_run_id() -> Result<RunId, CliError> {
    use rand::Rng as _;
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let letters: String = (0..4).map(|_| char::from(rand::rng().random_range(b'a'..=b'z'))).collect();
    RunId::new(format!("{time}-{letters}")).map_err(|error| CliError::internal(&error))
}

/// Who runs this, for the history: the login name at this machine.
fn owner() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}
