//! supervisord over XML-RPC: what a program is, and starts and stops followed to their end.
//!
//! For hosts whose services it keeps in place of systemd. It is spoken to on its own socket; methods, states and fault
//! codes are those of its documentation ("XML-RPC API Documentation", "Subprocesses"), version 4. A start or stop is
//! asked for without waiting and then looked at, so that it has progress lines and ends with the op's deadline.
//! Not here: its configuration, and `supervisorctl update`, which restarts whatever changed in it.

mod rpc;
#[cfg(test)]
mod tests;

use super::services::Services;
use super::{HostError, OpContext, Unit, UnitAction};
use dxr::Value;
use rpc::{Socket, Trouble};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What errors call it.
const NAME: &str = "supervisord";

/// How often a program that starts or stops is looked at. A node's stop is waited for with this grain.
const LOOK: Duration = Duration::from_millis(100);

/// How often the operator is told.
const TICK: Duration = Duration::from_secs(1);

/// Ticks of `/proc/PID/stat` in a second: Linux shows them so to programs on every architecture.
const USER_HZ: u64 = 100;

/// No program has this name.
const BAD_NAME: i32 = 10;
/// It runs already, so a start has nothing to do.
const ALREADY_STARTED: i32 = 60;
/// It does not run, so a stop has nothing to do.
const NOT_RUNNING: i32 = 70;

/// supervisord, for the length of one op.
pub(super) struct Supervisord {
    context: Arc<dyn OpContext>,
    socket: Socket,
}

/// What supervisord calls a process' state: "Process States" of its documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Stopped,
    Starting,
    Running,
    Backoff,
    Stopping,
    Exited,
    Fatal,
    Unknown,
}

impl State {
    fn of(word: &str) -> Self {
        match word {
            "STOPPED" => Self::Stopped,
            "STARTING" => Self::Starting,
            "RUNNING" => Self::Running,
            "BACKOFF" => Self::Backoff,
            "STOPPING" => Self::Stopping,
            "EXITED" => Self::Exited,
            "FATAL" => Self::Fatal,
            _ => Self::Unknown,
        }
    }
}

/// How a process ends that was asked to: by itself, or as a JVM does on SIGTERM.
const GOOD_ENDS: [i32; 2] = [0, 143];

/// A program's process, as `getProcessInfo` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    state: State,
    word: String,
    pid: u32,
    exit_status: i32,
    spawn_error: String,
}

impl Process {
    fn of(info: &BTreeMap<String, Value>) -> Self {
        let word = text(info, "statename");
        Self {
            state: State::of(&word),
            word,
            pid: u32::try_from(number(info, "pid")).unwrap_or_default(),
            exit_status: number(info, "exitstatus"),
            spawn_error: text(info, "spawnerr"),
        }
    }

    /// Whether it is down, and not because somebody stopped it.
    fn has_failed(&self) -> bool {
        match self.state {
            State::Fatal | State::Unknown => true,
            State::Exited => !GOOD_ENDS.contains(&self.exit_status),
            State::Stopped | State::Starting | State::Running | State::Backoff | State::Stopping => false,
        }
    }

    /// Its state in systemd's words, which modules and snapshots are made of.
    fn active_state(&self) -> &'static str {
        match self.state {
            _ if self.has_failed() => "failed",
            State::Stopped | State::Exited | State::Fatal | State::Unknown => "inactive",
            State::Starting | State::Backoff => "activating",
            State::Running => "active",
            State::Stopping => "deactivating",
        }
    }

    /// As systemd's `Result`: how the last run ended.
    fn result(&self) -> &'static str {
        if self.has_failed() { "exit-code" } else { "success" }
    }
}

/// How a start or stop stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stand {
    Reached,
    OnTheWay,
    Failed(String),
}

/// What a start has come to.
fn judge_start(process: &Process) -> Stand {
    match process.state {
        State::Running => Stand::Reached,
        State::Starting | State::Backoff => Stand::OnTheWay,
        State::Stopping => Stand::Failed("it is being stopped by somebody else".to_owned()),
        State::Stopped => Stand::Failed("it was stopped by somebody else".to_owned()),
        State::Exited => Stand::Failed(format!("it started and ended with status {}", process.exit_status)),
        State::Fatal | State::Unknown if process.spawn_error.is_empty() => {
            Stand::Failed(format!("it is {}", process.word))
        }
        State::Fatal | State::Unknown => Stand::Failed(format!("it is {}: {}", process.word, process.spawn_error)),
    }
}

/// What a stop has come to.
fn judge_stop(process: &Process) -> Stand {
    match process.state {
        State::Stopped | State::Exited | State::Fatal => Stand::Reached,
        State::Stopping | State::Running | State::Backoff => Stand::OnTheWay,
        State::Starting => Stand::Failed("it is being started by somebody else".to_owned()),
        State::Unknown => Stand::Failed(format!("it is {}", process.word)),
    }
}

impl Supervisord {
    pub(super) fn new(context: Arc<dyn OpContext>, socket: PathBuf) -> Self {
        Self { context, socket: Socket(socket) }
    }

    fn failed(what: &'static str, unit: &str, trouble: &Trouble) -> HostError {
        HostError::Service { manager: NAME, what, unit: unit.to_owned(), why: trouble.to_string() }
    }

    fn process(&self, name: &str) -> Result<Process, Trouble> {
        let Value::Struct(info) =
            self.socket.call("supervisor.getProcessInfo", vec![Value::String(name.to_owned())])?
        else {
            return Err(Trouble::Answer("getProcessInfo gave no struct".to_owned()));
        };
        Ok(Process::of(&info))
    }

    /// What its configuration says of all programs.
    fn programs(&self) -> Result<Vec<BTreeMap<String, Value>>, Trouble> {
        let Value::Array(all) = self.socket.call("supervisor.getAllConfigInfo", Vec::new())? else {
            return Err(Trouble::Answer("getAllConfigInfo gave no list".to_owned()));
        };
        Ok(all
            .into_iter()
            .filter_map(|value| if let Value::Struct(info) = value { Some(info) } else { None })
            .collect())
    }

    fn read(&self, name: &str) -> Result<Unit, Trouble> {
        let process = match self.process(name) {
            Ok(process) => process,
            Err(trouble) if trouble.is_fault(BAD_NAME) => return Ok(missing(name)),
            Err(trouble) => return Err(trouble),
        };
        let (group, short) = name.split_once(':').unwrap_or((name, name));
        let programs = self.programs()?;
        let program = programs.iter().find(|info| text(info, "group") == group && text(info, "name") == short);
        let starts_alone = program.is_some_and(|info| matches!(info.get("autostart"), Some(Value::Boolean(true))));
        let patience_s = program.map(|info| number(info, "stopwaitsecs")).unwrap_or_default();
        Ok(Unit {
            name: name.to_owned(),
            load_state: "loaded".to_owned(),
            active_state: process.active_state().to_owned(),
            sub_state: process.word.to_lowercase(),
            file_state: if starts_alone { "enabled" } else { "disabled" }.to_owned(),
            main_pid: process.pid,
            started_us: started_us(process.pid),
            result: process.result().to_owned(),
            timeout_stop_us: u64::try_from(patience_s).unwrap_or_default().saturating_mul(1_000_000),
            needs_reload: false,
            restarts: None,
            open_files: None,
        })
    }

    /// Asks for a start or stop and waits for its end.
    fn job(
        &self,
        what: &'static str,
        method: &str,
        nothing_to_do: i32,
        judge: fn(&Process) -> Stand,
        name: &str,
    ) -> Result<(), HostError> {
        let failed = |trouble: &Trouble| Self::failed(what, name, trouble);
        match self.socket.call(method, vec![Value::String(name.to_owned()), Value::Boolean(false)]) {
            Ok(_asked) => {}
            Err(trouble) if trouble.is_fault(nothing_to_do) => {}
            Err(trouble) => return Err(failed(&trouble)),
        }
        let begun = Instant::now();
        let mut told = begun;
        loop {
            let process = self.process(name).map_err(|trouble| failed(&trouble))?;
            match judge(&process) {
                Stand::Reached => return Ok(()),
                Stand::Failed(text) => {
                    let text = format!("{text}; see `supervisorctl tail {name}` on the host");
                    return Err(failed(&Trouble::Fault { code: 0, text }));
                }
                Stand::OnTheWay => {}
            }
            if told.elapsed() >= TICK {
                told = Instant::now();
                let seconds = begun.elapsed().as_secs();
                self.context.progress(&format!("waiting for {name} to {what}: {}, {seconds} s", process.word));
            }
            if self.context.time_left().is_zero() || !self.context.wait(LOOK) {
                return Err(HostError::Stopped(format!("the {what} of {name} (supervisord goes on with it)")));
            }
        }
    }

    fn start(&self, name: &str) -> Result<(), HostError> {
        self.job("start", "supervisor.startProcess", ALREADY_STARTED, judge_start, name)
    }

    fn stop(&self, name: &str) -> Result<(), HostError> {
        self.job("stop", "supervisor.stopProcess", NOT_RUNNING, judge_stop, name)
    }

    /// What only systemd has.
    fn not_here(what: &'static str, name: &str, instead: &str) -> HostError {
        let text = format!("it has no such act; {instead}");
        Self::failed(what, name, &Trouble::Fault { code: 0, text })
    }
}

impl Services for Supervisord {
    fn unit(&self, name: &str) -> Result<Unit, HostError> {
        let name = program_name(name);
        self.read(name).map_err(|trouble| Self::failed("read", name, &trouble))
    }

    fn unit_names(&self) -> Result<Vec<String>, HostError> {
        let programs = self.programs().map_err(|trouble| Self::failed("list", "its programs", &trouble))?;
        let mut names: Vec<String> = programs.iter().map(full_name).collect();
        names.sort();
        Ok(names)
    }

    /// Programs that it has given up on: state FATAL.
    fn failed(&self) -> Result<Vec<String>, HostError> {
        let failed = |trouble: &Trouble| Self::failed("list", "its programs", trouble);
        let all = self.socket.call("supervisor.getAllProcessInfo", Vec::new()).map_err(|trouble| failed(&trouble))?;
        let Value::Array(all) = all else {
            return Err(failed(&Trouble::Answer("getAllProcessInfo gave no list".to_owned())));
        };
        let mut names = Vec::new();
        for info in all {
            if let Value::Struct(info) = info
                && Process::of(&info).state == State::Fatal
            {
                names.push(full_name(&info));
            }
        }
        names.sort();
        Ok(names)
    }

    /// It has no reading again that leaves running programs alone, so nothing here is ever older than a file.
    fn units_loaded_us(&self) -> Result<u64, HostError> {
        Ok(u64::MAX)
    }

    fn daemon_reload(&self) -> Result<(), HostError> {
        Err(Self::not_here("reload", "its configuration", "`supervisorctl update` restarts what changed in it"))
    }

    fn act(&self, name: &str, action: UnitAction) -> Result<(), HostError> {
        let name = program_name(name);
        match action {
            UnitAction::Start => self.start(name),
            UnitAction::Stop => self.stop(name),
            UnitAction::Restart => {
                self.stop(name)?;
                self.start(name)
            }
            UnitAction::Reload => {
                let params = vec![Value::String(name.to_owned()), Value::String("HUP".to_owned())];
                let asked = self.socket.call("supervisor.signalProcess", params);
                asked.map(|_| ()).map_err(|trouble| Self::failed("reload", name, &trouble))
            }
            UnitAction::Enable => Err(Self::not_here("enable", name, "set autostart=true in the program's section")),
            UnitAction::Disable => Err(Self::not_here("disable", name, "set autostart=false in the program's section")),
            UnitAction::Mask => Err(Self::not_here("mask", name, "remove the program's section")),
            UnitAction::Unmask => Err(Self::not_here("unmask", name, "write the program's section")),
        }
    }
}

/// Playbooks name services as systemd does; here a service's suffix means nothing.
fn program_name(name: &str) -> &str {
    name.strip_suffix(".service").unwrap_or(name)
}

/// A program by its group and name, as `supervisorctl` takes it.
fn full_name(info: &BTreeMap<String, Value>) -> String {
    let (group, name) = (text(info, "group"), text(info, "name"));
    if group == name { name } else { format!("{group}:{name}") }
}

fn missing(name: &str) -> Unit {
    Unit {
        name: name.to_owned(),
        load_state: "not-found".to_owned(),
        active_state: "inactive".to_owned(),
        sub_state: "dead".to_owned(),
        file_state: String::new(),
        main_pid: 0,
        started_us: 0,
        result: "success".to_owned(),
        timeout_stop_us: 0,
        needs_reload: false,
        restarts: None,
        open_files: None,
    }
}

/// When a process started, in microseconds since the boot; 0 when it is gone.
fn started_us(pid: u32) -> u64 {
    let found = i32::try_from(pid).ok().filter(|&pid| pid > 0).map(crate::shim::process_id);
    let ticks = found.and_then(Result::ok).map(|process| process.start).unwrap_or_default();
    ticks.saturating_mul(1_000_000 / USER_HZ)
}

fn text(info: &BTreeMap<String, Value>, key: &str) -> String {
    if let Some(Value::String(text)) = info.get(key) { text.clone() } else { String::new() }
}

fn number(info: &BTreeMap<String, Value>, key: &str) -> i32 {
    if let Some(Value::Integer(number)) = info.get(key) { *number } else { 0 }
}
