//! supervisord over XML-RPC: what a program is, and starts and stops followed to their end.
//!
//! For hosts whose services it keeps in place of systemd. It is spoken to on its own socket; methods, states and fault
//! codes are those of its documentation ("XML-RPC API Documentation", "Subprocesses"), version 4. A start or stop is
//! asked for without waiting and then looked at, so that it has progress lines and ends with the op's deadline.
//! Not here: its configuration, and `supervisorctl update`, which restarts whatever changed in it.

use super::services::Services;
use super::{HostError, OpContext, Unit, UnitAction};
use dxr::{FaultResponse, MethodCall, MethodResponse, Value};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What errors call it.
const NAME: &str = "supervisord";

/// No method that is used here waits for a process.
const CALL_LIMIT: Duration = Duration::from_secs(25);

/// A description of all programs takes about 2 KiB a program.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

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
    socket: PathBuf,
}

/// Why supervisord did not do it.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{socket} can not be reached: {source} (is supervisord running on this host?)")]
    Connect { socket: String, source: std::io::Error },
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with status {0}")]
    Status(http::StatusCode),
    #[error("its answer is not understood: {0}")]
    Answer(String),
    #[error("no answer within {} s", CALL_LIMIT.as_secs())]
    Late,
    #[error("{text}")]
    Fault { code: i32, text: String },
}

impl Trouble {
    fn is_fault(&self, wanted: i32) -> bool {
        matches!(self, Self::Fault { code, .. } if *code == wanted)
    }
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

    /// The same in systemd's words, which modules and snapshots are made of.
    fn active_state(self) -> &'static str {
        match self {
            Self::Stopped | Self::Exited => "inactive",
            Self::Starting | Self::Backoff => "activating",
            Self::Running => "active",
            Self::Stopping => "deactivating",
            Self::Fatal | Self::Unknown => "failed",
        }
    }
}

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

    /// As systemd's `Result`: how the last run ended.
    fn result(&self) -> &'static str {
        match self.state {
            State::Fatal | State::Unknown => "exit-code",
            State::Stopped | State::Starting | State::Running | State::Backoff | State::Stopping | State::Exited => {
                "success"
            }
        }
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
        Self { context, socket }
    }

    /// Calls a method from a module's blocking thread.
    fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Trouble> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| Trouble::Answer(error.to_string()))?;
        let call = async {
            tokio::time::timeout(CALL_LIMIT, self.exchange(method, params)).await.unwrap_or(Err(Trouble::Late))
        };
        runtime.block_on(call)
    }

    async fn exchange(&self, method: &str, params: Vec<Value>) -> Result<Value, Trouble> {
        let wrong = |error: &dyn std::fmt::Display| Trouble::Answer(error.to_string());
        let body = MethodCall { name: method.into(), params }.to_xml().map_err(|error| wrong(&error))?;
        let request = http::Request::post("/RPC2")
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "text/xml")
            .body(Full::new(bytes::Bytes::from(body)))
            .map_err(|error| wrong(&error))?;
        let connect = |source| Trouble::Connect { socket: self.socket.display().to_string(), source };
        let stream = tokio::net::UnixStream::connect(&self.socket).await.map_err(connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if !response.status().is_success() {
                return Err(Trouble::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| Trouble::Answer(error.to_string()))?.to_bytes();
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        tokio::pin!(answer, connection);
        // The connection carries the answer, so it is driven beside it; when it ends first, the answer says why.
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            ended = &mut connection => {
                ended?;
                answer.await?
            }
        };
        understand(&answer)
    }

    fn failed(what: &'static str, unit: &str, trouble: &Trouble) -> HostError {
        HostError::Service { manager: NAME, what, unit: unit.to_owned(), why: trouble.to_string() }
    }

    fn process(&self, name: &str) -> Result<Process, Trouble> {
        let Value::Struct(info) = self.call("supervisor.getProcessInfo", vec![Value::String(name.to_owned())])? else {
            return Err(Trouble::Answer("getProcessInfo gave no struct".to_owned()));
        };
        Ok(Process::of(&info))
    }

    /// What its configuration says of all programs.
    fn programs(&self) -> Result<Vec<BTreeMap<String, Value>>, Trouble> {
        let Value::Array(all) = self.call("supervisor.getAllConfigInfo", Vec::new())? else {
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
            active_state: process.state.active_state().to_owned(),
            sub_state: process.word.to_lowercase(),
            file_state: if starts_alone { "enabled" } else { "disabled" }.to_owned(),
            main_pid: process.pid,
            started_us: started_us(process.pid),
            result: process.result().to_owned(),
            timeout_stop_us: u64::try_from(patience_s).unwrap_or_default().saturating_mul(1_000_000),
            needs_reload: false,
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
        match self.call(method, vec![Value::String(name.to_owned()), Value::Boolean(false)]) {
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
        let full = |info: &BTreeMap<String, Value>| {
            let (group, name) = (text(info, "group"), text(info, "name"));
            if group == name { name } else { format!("{group}:{name}") }
        };
        let mut names: Vec<String> = programs.iter().map(full).collect();
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
                let asked = self.call("supervisor.signalProcess", params);
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
    }
}

/// When a process started, in microseconds since the boot; 0 when it is gone.
fn started_us(pid: u32) -> u64 {
    let found = i32::try_from(pid).ok().filter(|&pid| pid > 0).map(crate::shim::process_id);
    let ticks = found.and_then(Result::ok).map(|process| process.start).unwrap_or_default();
    ticks.saturating_mul(1_000_000 / USER_HZ)
}

fn understand(answer: &str) -> Result<Value, Trouble> {
    let error = match MethodResponse::from_xml(answer) {
        Ok(response) => return Ok(response.value),
        Err(error) => error,
    };
    match FaultResponse::from_xml(answer) {
        // "BAD_NAME: kafka" and the like: a word of supervisord, and what it is about.
        Ok(response) => Err(Trouble::Fault { code: response.fault.code(), text: response.fault.string().to_owned() }),
        Err(_neither) => Err(Trouble::Answer(error.to_string())),
    }
}

fn text(info: &BTreeMap<String, Value>, key: &str) -> String {
    if let Some(Value::String(text)) = info.get(key) { text.clone() } else { String::new() }
}

fn number(info: &BTreeMap<String, Value>, key: &str) -> i32 {
    if let Some(Value::Integer(number)) = info.get(key) { *number } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::real::RealHost;
    use super::super::real::tests::TestContext;
    use super::super::{Host, HostView, ServiceManager};
    use super::*;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    fn process(word: &str) -> Process {
        let status = Value::Integer(3);
        let info = [("statename", Value::String(word.to_owned())), ("exitstatus", status)];
        Process::of(&info.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    #[test]
    fn every_state_is_an_end_or_a_step_of_a_start_and_of_a_stop() {
        let failed = |text: &str| Stand::Failed(text.to_owned());
        for (word, active, start, stop) in [
            ("STOPPED", "inactive", failed("it was stopped by somebody else"), Stand::Reached),
            ("STARTING", "activating", Stand::OnTheWay, failed("it is being started by somebody else")),
            ("RUNNING", "active", Stand::Reached, Stand::OnTheWay),
            ("BACKOFF", "activating", Stand::OnTheWay, Stand::OnTheWay),
            ("STOPPING", "deactivating", failed("it is being stopped by somebody else"), Stand::OnTheWay),
            ("EXITED", "inactive", failed("it started and ended with status 3"), Stand::Reached),
            ("FATAL", "failed", failed("it is FATAL"), Stand::Reached),
            ("SOMETHING", "failed", failed("it is SOMETHING"), failed("it is SOMETHING")),
        ] {
            let process = process(word);
            assert_eq!(process.state.active_state(), active, "{word}");
            assert_eq!((judge_start(&process), judge_stop(&process)), (start, stop), "{word}");
        }
    }

    #[test]
    fn a_fault_is_told_apart_from_an_answer_and_from_nonsense() {
        let value = understand(&MethodResponse { value: Value::Boolean(true) }.to_xml().unwrap()).unwrap();
        assert_eq!(value, Value::Boolean(true));
        let fault = FaultResponse { fault: dxr::Fault::new(BAD_NAME, "BAD_NAME: x".to_owned()) }.to_xml().unwrap();
        let trouble = understand(&fault).unwrap_err();
        assert!(trouble.is_fault(BAD_NAME) && !trouble.is_fault(NOT_RUNNING), "{trouble}");
        for text in ["", "<html>", "<methodResponse>"] {
            assert!(matches!(understand(text).unwrap_err(), Trouble::Answer(_)), "{text}");
        }
    }

    /// A supervisord of the test's own; gone when it is over.
    struct Own {
        daemon: Child,
        folder: tempfile::TempDir,
    }

    impl Drop for Own {
        fn drop(&mut self) {
            // SIGTERM: it stops its programs first.
            let pid = nix::unistd::Pid::from_raw(self.daemon.id().cast_signed());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
            self.daemon.wait().unwrap();
        }
    }

    const PROGRAMS: &str = "
[program:sleeper]
command=sleep 1000
autostart=false
startsecs=1
stopwaitsecs=77

[program:stubborn]
command=sh -c 'trap \"\" TERM; sleep 1000 & wait; wait'
startsecs=0
stopwaitsecs=2
stopasgroup=false
killasgroup=true

[program:broken]
command=sh -c 'exit 4'
autostart=false
startretries=0
";

    fn own() -> Option<Own> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/supervisor/bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain([installed]);
        let Some(program) = folders.find_map(|folder| Some(folder.join("supervisord")).filter(|file| file.is_file()))
        else {
            eprintln!("skipped: there is no supervisord here; tests/setup.sh installs it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let text = format!(
            "[supervisord]\nnodaemon=true\nlogfile={place}/log\npidfile={place}/pid\nchildlogdir={place}\n\
             [unix_http_server]\nfile={place}/sock\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n{PROGRAMS}"
        );
        std::fs::write(folder.path().join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("--configuration").arg(folder.path().join("conf")).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Own { daemon: command.spawn().unwrap(), folder })
    }

    /// Runs a test on a blocking thread of a runtime, as modules run.
    async fn with_supervisord(test: impl FnOnce(&RealHost, &TestContext) + Send + 'static) {
        let work = || {
            let Some(own) = own() else { return };
            let socket = own.folder.path().join("sock");
            let context = Arc::new(TestContext::with(ServiceManager::Supervisord { socket }));
            let host = RealHost::new(context.clone());
            let begun = Instant::now();
            while let Err(error) = host.unit_names() {
                assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
                context.wait(Duration::from_millis(50));
            }
            test(&host, &context);
        };
        tokio::task::spawn_blocking(work).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_program_is_started_restarted_and_stopped_and_each_start_is_a_new_process() {
        with_supervisord(|host, _| {
            assert_eq!(host.unit_names().unwrap(), ["broken", "sleeper", "stubborn"]);
            assert_eq!(host.unit("sleper").unwrap().load_state, "not-found");
            let unit = host.unit("sleeper.service").unwrap();
            assert_eq!((unit.name.as_str(), unit.active_state.as_str()), ("sleeper", "inactive"));
            assert_eq!((unit.file_state.as_str(), unit.timeout_stop_us), ("disabled", 77_000_000));
            assert_eq!((unit.main_pid, unit.started_us), (0, 0));
            host.unit_action("sleeper", UnitAction::Start).unwrap();
            let first = host.unit("sleeper").unwrap();
            assert_eq!((first.active_state.as_str(), first.sub_state.as_str()), ("active", "running"));
            host.unit_action("sleeper", UnitAction::Start).unwrap();
            assert_eq!(host.unit("sleeper").unwrap(), first, "a start of what runs changes nothing");
            host.unit_action("sleeper", UnitAction::Restart).unwrap();
            let second = host.unit("sleeper").unwrap();
            assert!(second.main_pid > 0 && second.main_pid != first.main_pid);
            assert!(second.started_us > first.started_us, "{second:?} {first:?}");
            host.unit_action("sleeper", UnitAction::Stop).unwrap();
            host.unit_action("sleeper", UnitAction::Stop).unwrap();
            assert_eq!(host.unit("sleeper").unwrap().active_state, "inactive");
            assert_eq!(host.unit("stubborn").unwrap().file_state, "enabled");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_stop_is_waited_for_and_told_of() {
        with_supervisord(|host, context| {
            host.unit_action("stubborn", UnitAction::Start).unwrap();
            // The shell has to get as far as its trap.
            context.wait(Duration::from_millis(500));
            let begun = Instant::now();
            host.unit_action("stubborn", UnitAction::Stop).unwrap();
            assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
            let told = context.told.lock().unwrap().clone();
            assert!(told.iter().any(|text| text.starts_with("waiting for stubborn to stop: STOPPING")), "{told:?}");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_fails_and_what_it_has_not_got_is_said() {
        with_supervisord(|host, _| {
            for (name, action, wanted) in [
                ("broken", UnitAction::Start, "supervisord failed to start broken: it is FATAL: Exited too quickly"),
                ("none", UnitAction::Start, "supervisord failed to start none: BAD_NAME: none"),
                (
                    "sleeper",
                    UnitAction::Enable,
                    "supervisord failed to enable sleeper: it has no such act; set autostart",
                ),
            ] {
                let error = host.unit_action(name, action).unwrap_err().to_string();
                assert!(error.starts_with(wanted), "{error}");
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_socket_that_nobody_listens_on_is_named() {
        let socket = PathBuf::from("/nowhere/supervisor.sock");
        let context = Arc::new(TestContext::with(ServiceManager::Supervisord { socket }));
        let error = tokio::task::spawn_blocking(move || RealHost::new(context).unit("kafka").unwrap_err().to_string());
        let error = error.await.unwrap();
        assert!(error.contains("/nowhere/supervisor.sock can not be reached"), "{error}");
    }
}
