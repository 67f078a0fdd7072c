//! Its words by tables, and a supervisord of the tests' own.

use super::rpc::understand;
use super::*;
use crate::host::real::tests::TestContext;
use crate::host::{Host, HostView, RealHost, ServiceManager};
use dxr::{FaultResponse, MethodResponse};
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
        ("EXITED", "failed", failed("it started and ended with status 3"), Stand::Reached),
        ("FATAL", "failed", failed("it is FATAL"), Stand::Reached),
        ("SOMETHING", "failed", failed("it is SOMETHING"), failed("it is SOMETHING")),
    ] {
        let process = process(word);
        assert_eq!(process.active_state(), active, "{word}");
        assert_eq!((judge_start(&process), judge_stop(&process)), (start, stop), "{word}");
    }
}

#[test]
fn a_program_that_ended_by_itself_has_failed_unless_it_ended_well() {
    for (status, active, result) in [
        (0, "inactive", "success"),
        (143, "inactive", "success"),
        (1, "failed", "exit-code"),
        (-1, "failed", "exit-code"),
    ] {
        let ended = Process { exit_status: status, ..process("EXITED") };
        assert_eq!((ended.active_state(), ended.result()), (active, result), "{status}");
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
            ("sleeper", UnitAction::Enable, "supervisord failed to enable sleeper: it has no such act; set autostart"),
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
