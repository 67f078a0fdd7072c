//! systemd over D-Bus: what a unit is, and jobs followed to their end.
//!
//! One connection to the system bus is shared by all ops and made again when it was lost. A job's end is told by the
//! signal `JobRemoved`, which is subscribed to before the job is asked for; should the signal be lost (systemd was
//! re-executed, the bus restarted), the unit's own state decides after the job is gone.
//! Modules run on blocking threads, so every call here blocks on the runtime of the agent.

use super::services::Services;
use super::{HostError, OpContext, Unit, UnitAction};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

/// What errors call it.
const NAME: &str = "systemd";

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";

/// How long systemd may take for an answer that needs no job: libsystemd waits as long.
const CALL_LIMIT: Duration = Duration::from_secs(25);

/// How often a running job is looked at, for progress and for the op's deadline.
const TICK: Duration = Duration::from_secs(1);

/// How many ticks in a row a unit may have no job before its own state is taken for the job's outcome.
const TICKS_WITHOUT_JOB: u32 = 2;

/// The bus connection that all ops share.
static BUS: Mutex<Option<Connection>> = Mutex::new(None);

/// systemd, for the length of one op.
pub(super) struct Systemd {
    context: Arc<dyn OpContext>,
}

impl Systemd {
    pub(super) fn new(context: Arc<dyn OpContext>) -> Self {
        Self { context }
    }

    /// A change of unit files, which systemd then reads again.
    fn files<B>(&self, what: &'static str, method: &'static str, name: &str, body: &B) -> Result<(), HostError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        block(what, name, async {
            let bus = bus().await?;
            let _changes: FileChanges = call(&bus, method, body).await?;
            call(&bus, "Reload", &()).await
        })
    }

    /// Asks for a job and waits for its end.
    fn job(&self, what: &'static str, method: &'static str, name: &str) -> Result<(), HostError> {
        let outcome = block(what, name, async {
            let bus = bus().await?;
            subscribe(&bus).await?;
            let rule = MatchRule::builder()
                .msg_type(zbus::message::Type::Signal)
                .path(MANAGER_PATH)
                .interface(MANAGER)
                .member("JobRemoved")
                .build()?;
            let mut signals = MessageStream::for_match_rule(rule, &bus, None).await?;
            let job: OwnedObjectPath = call(&bus, method, &(name, "replace")).await?;
            self.follow(&bus, &mut signals, &job, what, name).await
        })?;
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Stopped => Err(HostError::Stopped(format!("the {what} job of {name} (systemd goes on with it)"))),
            Outcome::Failed(why) => Err(HostError::Service { manager: NAME, what, unit: name.to_owned(), why }),
        }
    }

    async fn follow(
        &self,
        bus: &Connection,
        signals: &mut MessageStream,
        job: &OwnedObjectPath,
        what: &'static str,
        name: &str,
    ) -> Result<Outcome, Trouble> {
        let begun = Instant::now();
        let mut without_job = 0;
        let mut signals_end = false;
        loop {
            // Both branches are cancel safe: a message that was not taken stays in the stream's queue.
            tokio::select! {
                message = signals.next(), if !signals_end => match message {
                    Some(Ok(message)) => {
                        let (_, removed, _, result): (u32, OwnedObjectPath, String, String) =
                            message.body().deserialize()?;
                        if removed == *job {
                            return judge(bus, &result, name).await;
                        }
                        continue;
                    }
                    Some(Err(error)) => tracing::warn!(%error, "a signal of systemd could not be read"),
                    None => signals_end = true,
                },
                () = tokio::time::sleep(TICK) => {}
            }
            if self.context.stopping() || self.context.time_left().is_zero() {
                return Ok(Outcome::Stopped);
            }
            // The shared connection may have been lost; a new one can still tell how the unit is.
            let Ok(bus) = self::bus().await else { continue };
            let Ok(unit) = properties(&bus, name).await else { continue };
            let state = unit.unit();
            self.context.progress(&format!(
                "waiting for {} to {what}: {} ({}), {} s",
                state.name,
                state.active_state,
                state.sub_state,
                begun.elapsed().as_secs()
            ));
            without_job = if unit.has_job() { 0 } else { without_job + 1 };
            if without_job >= TICKS_WITHOUT_JOB {
                let wanted = if what == "stop" { "inactive" } else { "active" };
                let result = if state.active_state == wanted { "done" } else { "failed" };
                return judge(&bus, result, name).await;
            }
        }
    }
}

impl Services for Systemd {
    fn unit(&self, name: &str) -> Result<Unit, HostError> {
        let name = full_name(name);
        block("read", &name, async {
            let bus = bus().await?;
            read_unit(&bus, &name).await
        })
    }

    fn unit_names(&self) -> Result<Vec<String>, HostError> {
        block("list", "the unit files", async {
            let bus = bus().await?;
            let files: Vec<(String, String)> = call(&bus, "ListUnitFiles", &()).await?;
            let mut names: Vec<String> =
                files.into_iter().filter_map(|(path, _)| path.rsplit('/').next().map(ToOwned::to_owned)).collect();
            names.sort();
            names.dedup();
            Ok(names)
        })
    }

    fn failed(&self) -> Result<Vec<String>, HostError> {
        block("list", "the failed units", async {
            let bus = bus().await?;
            let units: Vec<ListedUnit> = call(&bus, "ListUnitsFiltered", &(&["failed"][..],)).await?;
            let mut names: Vec<String> = units.into_iter().map(|(name, ..)| name).collect();
            names.sort();
            Ok(names)
        })
    }

    fn units_loaded_us(&self) -> Result<u64, HostError> {
        block("read", "the time of its last reload", async {
            let bus = bus().await?;
            if let Some(time) = manager_property(&bus, "UnitsLoadTimestamp").await? {
                return Ok(time);
            }
            // systemd before 247 does not tell: all of it is old when a loaded unit is older than its files.
            let units: Vec<ListedUnit> = call(&bus, "ListUnits", &()).await?;
            for (name, ..) in units {
                if properties(&bus, &name).await?.unit().needs_reload {
                    return Ok(0);
                }
            }
            Ok(u64::MAX)
        })
    }

    fn daemon_reload(&self) -> Result<(), HostError> {
        block("reload", "its unit files", async {
            let bus = bus().await?;
            call(&bus, "Reload", &()).await
        })
    }

    fn act(&self, name: &str, action: UnitAction) -> Result<(), HostError> {
        let name = full_name(name);
        let files = [name.as_str()];
        match action {
            UnitAction::Start => self.job("start", "StartUnit", &name),
            UnitAction::Stop => self.job("stop", "StopUnit", &name),
            UnitAction::Restart => self.job("restart", "RestartUnit", &name),
            UnitAction::Reload => self.job("reload", "ReloadUnit", &name),
            UnitAction::Enable => block("enable", &name, async {
                let bus = bus().await?;
                let (installable, _): (bool, FileChanges) =
                    call(&bus, "EnableUnitFiles", &(&files[..], false, false)).await?;
                if !installable {
                    return Err(Trouble::Said("its unit file has no [Install] section".to_owned()));
                }
                call(&bus, "Reload", &()).await
            }),
            UnitAction::Disable => self.files("disable", "DisableUnitFiles", &name, &(&files[..], false)),
            UnitAction::Mask => self.files("mask", "MaskUnitFiles", &name, &(&files[..], false, false)),
            UnitAction::Unmask => self.files("unmask", "UnmaskUnitFiles", &name, &(&files[..], false)),
        }
    }
}

/// One entry of `ListUnits`: name, description, load, active and sub state, the unit it follows, its path, a job's id,
/// kind and path.
type ListedUnit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A number among the manager's properties; none when this systemd does not know it.
async fn manager_property(bus: &Connection, name: &str) -> Result<Option<u64>, Trouble> {
    let body = (MANAGER, name);
    let answer = within(bus.call_method(Some(SERVICE), MANAGER_PATH, Some(PROPERTIES), "Get", &body)).await;
    match answer {
        Ok(answer) => {
            let value: OwnedVariant = answer.body().deserialize()?;
            Ok(Some(u64::try_from(&value)?))
        }
        Err(Trouble::Bus(zbus::Error::FDO(error))) if matches!(*error, zbus::fdo::Error::UnknownProperty(_)) => {
            Ok(None)
        }
        Err(trouble) => Err(trouble),
    }
}

/// How a job ended.
enum Outcome {
    Done,
    Stopped,
    Failed(String),
}

/// What `EnableUnitFiles` and its like answer: kind of change, link, target.
type FileChanges = Vec<(String, String, String)>;

/// Why systemd could not be asked.
enum Trouble {
    Said(String),
    Bus(zbus::Error),
}

impl From<zbus::Error> for Trouble {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(error)
    }
}

impl Trouble {
    fn text(self) -> String {
        match self {
            Self::Said(text) | Self::Bus(zbus::Error::MethodError(_, Some(text), _)) => text,
            Self::Bus(zbus::Error::MethodError(name, None, _)) => name.to_string(),
            Self::Bus(zbus::Error::InputOutput(error)) => {
                format!("the system bus can not be reached: {error} (is dbus running on this host?)")
            }
            Self::Bus(error) => error.to_string(),
        }
    }
}

/// Runs a future of this file from a module's blocking thread.
fn block<T>(what: &'static str, unit: &str, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, HostError> {
    let failed = |why: String| HostError::Service { manager: NAME, what, unit: unit.to_owned(), why };
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| failed(error.to_string()))?;
    runtime.block_on(work).map_err(|trouble| failed(trouble.text()))
}

/// The shared connection, made when there is none that lives.
async fn bus() -> Result<Connection, Trouble> {
    let shared = BUS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some(bus) = shared.filter(|bus| !bus.is_closed()) {
        return Ok(bus);
    }
    let made = within(Connection::system()).await?;
    *BUS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(made.clone());
    Ok(made)
}

async fn within<T>(call: impl Future<Output = zbus::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::Said(format!("no answer within {} s", CALL_LIMIT.as_secs()))),
    }
}

/// Calls a method of the manager.
async fn call<B, R>(bus: &Connection, method: &'static str, body: &B) -> Result<R, Trouble>
where
    B: serde::Serialize + zbus::DynamicType,
    R: serde::de::DeserializeOwned + zbus::Type,
{
    let answer = within(bus.call_method(Some(SERVICE), MANAGER_PATH, Some(MANAGER), method, body)).await?;
    Ok(answer.body().deserialize()?)
}

/// Without it systemd sends no signals. Asking twice on one connection is an error that means nothing.
async fn subscribe(bus: &Connection) -> Result<(), Trouble> {
    match call::<_, ()>(bus, "Subscribe", &()).await {
        Err(Trouble::Bus(zbus::Error::MethodError(name, ..)))
            if name.as_str() == "org.freedesktop.systemd1.AlreadySubscribed" =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The properties of a unit, those of a service among them.
struct Properties {
    name: String,
    values: HashMap<String, OwnedVariant>,
}

impl Properties {
    fn text(&self, key: &str) -> String {
        self.values.get(key).and_then(|v| <&str>::try_from(v).ok()).unwrap_or_default().to_owned()
    }

    fn number(&self, key: &str) -> u64 {
        let value = self.values.get(key);
        value.and_then(|v| u64::try_from(v).ok().or_else(|| u32::try_from(v).ok().map(u64::from))).unwrap_or_default()
    }

    fn flag(&self, key: &str) -> bool {
        self.values.get(key).and_then(|v| bool::try_from(v).ok()).unwrap_or_default()
    }

    /// A job of the unit is queued or runs: its id is not 0.
    fn has_job(&self) -> bool {
        let job = self.values.get("Job").and_then(|v| v.try_clone().ok());
        job.and_then(|v| <(u32, OwnedObjectPath)>::try_from(v).ok()).is_some_and(|(id, _)| id != 0)
    }

    fn unit(&self) -> Unit {
        let id = self.text("Id");
        Unit {
            name: if id.is_empty() { self.name.clone() } else { id },
            load_state: self.text("LoadState"),
            active_state: self.text("ActiveState"),
            sub_state: self.text("SubState"),
            file_state: self.text("UnitFileState"),
            main_pid: u32::try_from(self.number("MainPID")).unwrap_or_default(),
            started_us: self.number("ExecMainStartTimestampMonotonic"),
            result: self.text("Result"),
            timeout_stop_us: self.number("TimeoutStopUSec"),
            needs_reload: self.flag("NeedDaemonReload"),
            restarts: self.values.contains_key("NRestarts").then(|| self.number("NRestarts")),
            open_files: self.values.contains_key("LimitNOFILESoft").then(|| self.number("LimitNOFILESoft")),
        }
    }
}

async fn properties(bus: &Connection, name: &str) -> Result<Properties, Trouble> {
    let path: OwnedObjectPath = call(bus, "LoadUnit", &name).await?;
    let interfaces: &[&str] = if name.ends_with(".service") { &[UNIT, SERVICE_UNIT] } else { &[UNIT] };
    let mut values = HashMap::new();
    for interface in interfaces {
        let call = bus.call_method(Some(SERVICE), path.as_str(), Some(PROPERTIES), "GetAll", interface);
        let answer = within(call).await?;
        let more: HashMap<String, OwnedVariant> = answer.body().deserialize()?;
        values.extend(more);
    }
    Ok(Properties { name: name.to_owned(), values })
}

async fn read_unit(bus: &Connection, name: &str) -> Result<Unit, Trouble> {
    Ok(properties(bus, name).await?.unit())
}

/// A job's result as systemd words it, made into an outcome with what the unit itself says.
async fn judge(bus: &Connection, result: &str, name: &str) -> Result<Outcome, Trouble> {
    if result == "done" {
        return Ok(Outcome::Done);
    }
    let unit = read_unit(bus, name).await?;
    let meaning = match result {
        "canceled" => "the job was cancelled by another one",
        "timeout" => "it did not get there within its own timeout",
        "dependency" => "a unit that it depends on failed",
        "skipped" => "it does not apply in the unit's present state",
        _ => "the job failed",
    };
    Ok(Outcome::Failed(format!(
        "{meaning}; it is {} ({}), result {}; see `journalctl -u {}` on the host",
        unit.active_state, unit.sub_state, unit.result, unit.name
    )))
}

/// Names without a suffix mean services, as `systemctl` has it.
pub(crate) fn full_name(name: &str) -> String {
    const SUFFIXES: [&str; 11] =
        ["service", "socket", "timer", "target", "mount", "automount", "path", "slice", "scope", "swap", "device"];
    match name.rsplit_once('.') {
        Some((_, suffix)) if SUFFIXES.contains(&suffix) => name.to_owned(),
        _ => format!("{name}.service"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::real::RealHost;
    use super::super::real::tests::TestContext;
    use super::super::{Attributes, Content, Host, HostView};
    use std::path::{Path, PathBuf};

    /// Tests against the systemd of this very host run only when somebody says that it may be played with.
    const PERMISSION: &str = "KFLEET_TEST_SYSTEMD";

    /// Units of a test, gone when it is over.
    struct Units {
        context: Arc<TestContext>,
        host: RealHost,
        paths: Vec<PathBuf>,
    }

    impl Units {
        fn new() -> Self {
            let context = Arc::new(TestContext::new());
            Self { host: RealHost::new(context.clone()), context, paths: Vec::new() }
        }

        fn write(&mut self, name: &str, text: &str) {
            let path = Path::new("/etc/systemd/system").join(name);
            self.host.write(&path, Content::Bytes(text.as_bytes()), Attributes::default()).unwrap();
            self.host.daemon_reload().unwrap();
            self.paths.push(path);
        }
    }

    impl Drop for Units {
        fn drop(&mut self) {
            for path in &self.paths {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                for action in [UnitAction::Unmask, UnitAction::Stop, UnitAction::Disable] {
                    if let Err(error) = self.host.unit_action(&name, action) {
                        eprintln!("tidying up {name}: {error}");
                    }
                }
                self.host.remove(path).unwrap();
            }
            self.host.daemon_reload().unwrap();
        }
    }

    /// Runs a test on a blocking thread of a runtime, as modules run.
    async fn with_systemd(test: impl FnOnce(&mut Units) + Send + 'static) {
        if std::env::var_os(PERMISSION).is_none() {
            eprintln!("skipped: {PERMISSION} is not set, so this host's systemd is left alone");
            return;
        }
        tokio::task::spawn_blocking(|| test(&mut Units::new())).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_unit_is_started_restarted_and_stopped_and_each_start_is_a_new_process() {
        with_systemd(|units| {
            let name = "kfleet-test-run";
            assert_eq!(units.host.unit(name).unwrap().load_state, "not-found");
            units.write("kfleet-test-run.service", "[Service]\nType=exec\nExecStart=sleep 1000\n");
            let found = units.host.unit(name).unwrap();
            assert_eq!((found.load_state.as_str(), found.active_state.as_str()), ("loaded", "inactive"));
            units.host.unit_action(name, UnitAction::Start).unwrap();
            let first = units.host.unit(name).unwrap();
            assert_eq!((first.active_state.as_str(), first.sub_state.as_str()), ("active", "running"));
            units.host.unit_action(name, UnitAction::Restart).unwrap();
            let second = units.host.unit(name).unwrap();
            assert!(second.main_pid > 0 && second.main_pid != first.main_pid);
            assert!(second.started_us > first.started_us, "{second:?} {first:?}");
            units.host.unit_action(name, UnitAction::Stop).unwrap();
            let stopped = units.host.unit(name).unwrap();
            assert_eq!((stopped.active_state.as_str(), stopped.main_pid), ("inactive", 0));
            assert_eq!(stopped.result, "success");
            assert!(units.host.unit_names().unwrap().contains(&"kfleet-test-run.service".to_owned()));
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_stop_is_waited_for_and_told_of() {
        with_systemd(|units| {
            let name = "kfleet-test-slow";
            let text = "[Service]\nType=exec\nExecStart=sleep 1000\nExecStop=sleep 3\nTimeoutStopSec=77\n";
            units.write("kfleet-test-slow.service", text);
            units.host.unit_action(name, UnitAction::Start).unwrap();
            assert_eq!(units.host.unit(name).unwrap().timeout_stop_us, 77_000_000);
            let begun = Instant::now();
            units.host.unit_action(name, UnitAction::Stop).unwrap();
            assert!(begun.elapsed() > Duration::from_secs(2));
            let told = units.context.told.lock().unwrap().clone();
            let wanted = "waiting for kfleet-test-slow.service to stop: deactivating (stop)";
            assert!(told.iter().any(|text| text.starts_with(wanted)), "{told:?}");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_that_fails_says_how_the_unit_is() {
        with_systemd(|units| {
            units.write("kfleet-test-fails.service", "[Service]\nType=oneshot\nExecStart=false\n");
            let error = units.host.unit_action("kfleet-test-fails", UnitAction::Start).unwrap_err().to_string();
            assert_eq!(
                error,
                "systemd failed to start kfleet-test-fails.service: the job failed; it is failed (failed), result \
                 exit-code; see `journalctl -u kfleet-test-fails.service` on the host"
            );
            let error = units.host.unit_action("kfleet-test-none", UnitAction::Start).unwrap_err().to_string();
            assert!(error.contains("kfleet-test-none.service") && error.contains("not found"), "{error}");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_op_does_not_wait_for_its_job() {
        with_systemd(|units| {
            units.write("kfleet-test-long.service", "[Service]\nType=oneshot\nExecStart=sleep 8\n");
            let context = units.context.clone();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    context.wait(Duration::from_millis(500));
                    context.stop();
                });
                let error = units.host.unit_action("kfleet-test-long", UnitAction::Start).unwrap_err();
                assert!(matches!(error, HostError::Stopped(_)), "{error}");
            });
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn units_are_enabled_masked_and_read_again() {
        with_systemd(|units| {
            let name = "kfleet-test-install";
            let text = "[Service]\nExecStart=sleep 9\n[Install]\nWantedBy=multi-user.target\n";
            units.write("kfleet-test-install.service", text);
            let state = |units: &Units| units.host.unit(name).unwrap().file_state;
            assert_eq!(state(units), "disabled");
            units.host.unit_action(name, UnitAction::Enable).unwrap();
            assert_eq!(state(units), "enabled");
            units.host.unit_action(name, UnitAction::Disable).unwrap();
            assert_eq!(state(units), "disabled");
            // A unit that does nothing is forgotten and read anew each time; one that runs is not.
            units.host.unit_action(name, UnitAction::Start).unwrap();
            let before = units.host.units_loaded_us().unwrap();
            let path = units.paths[0].clone();
            let changed = text.replace("9", "10");
            units.host.write(&path, Content::Bytes(changed.as_bytes()), Attributes::default()).unwrap();
            assert!(units.host.unit(name).unwrap().needs_reload);
            units.host.daemon_reload().unwrap();
            assert!(!units.host.unit(name).unwrap().needs_reload);
            assert!(units.host.units_loaded_us().unwrap() > before);
            units.write("kfleet-test-static.service", "[Service]\nExecStart=sleep 9\n");
            let error = units.host.unit_action("kfleet-test-static", UnitAction::Enable).unwrap_err().to_string();
            assert!(error.contains("no [Install] section"), "{error}");
            units.host.unit_action("systemd-timesyncd", UnitAction::Mask).unwrap();
            assert_eq!(units.host.unit("systemd-timesyncd").unwrap().file_state, "masked");
            units.host.unit_action("systemd-timesyncd", UnitAction::Unmask).unwrap();
        })
        .await;
    }

    #[test]
    fn a_name_without_a_units_suffix_means_a_service() {
        for (given, full) in [
            ("kafka", "kafka.service"),
            ("kafka.service", "kafka.service"),
            ("kafka@1", "kafka@1.service"),
            ("org.example.app", "org.example.app.service"),
            ("fstrim.timer", "fstrim.timer"),
        ] {
            assert_eq!(full_name(given), full);
        }
    }
}
