//! The server with a clock that only the test moves, a job that the test ends, and a real store.

use super::super::file;
use super::super::job::{Alerts, Clock, Job as Work, JobEnd, JobOutcome, Occasion};
use super::*;
use crate::history::{Cause, ScheduleEnd, ScheduleRun, Store};
use futures::future::BoxFuture;
use serde_json::json;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// A monotonic clock in milliseconds that the test moves, and a wall clock that is apart from it by a step.
struct TestClock {
    mono: watch::Sender<i64>,
    step_ms: AtomicI64,
    /// How many waits have begun: a test that moves the clock knows that the server has looked since.
    waits: watch::Sender<usize>,
}

impl TestClock {
    fn advance(&self, time: Duration) {
        self.mono.send_modify(|now| *now += i64::try_from(time.as_millis()).unwrap());
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(*self.mono.borrow() + self.step_ms.load(Ordering::SeqCst)).unwrap()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        let mut mono = self.mono.subscribe();
        let until = *mono.borrow() + i64::try_from(time.as_millis()).unwrap();
        self.waits.send_modify(|waits| *waits += 1);
        Box::pin(
            async move { assert!(mono.wait_for(|now| *now >= until).await.is_ok(), "the clock outlives its users") },
        )
    }
}

/// What the test tells a running job to do.
#[derive(Debug, Clone)]
enum Act {
    End(JobEnd),
    Panic,
}

/// Tells the test of each run, and waits for what it shall do. It ends at once when it is cancelled, unless it is deaf.
struct TestJob {
    begun: mpsc::UnboundedSender<(Timestamp, mpsc::UnboundedSender<Act>)>,
    hears: Hears,
    at_once: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hears {
    Cancel,
    Nothing,
}

impl Work for TestJob {
    fn run<'a>(&'a self, occasion: &'a Occasion) -> BoxFuture<'a, JobOutcome> {
        Box::pin(async move {
            assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0, "one run of a schedule at a time");
            let (acts, mut act) = mpsc::unbounded_channel();
            self.begun.send((occasion.occurrence, acts)).unwrap();
            let cancelled = async {
                match self.hears {
                    Hears::Cancel => occasion.cancel.cancelled().await,
                    Hears::Nothing => std::future::pending().await,
                }
            };
            let end = tokio::select! {
                Some(act) = act.recv() => match act {
                    Act::End(end) => end,
                    Act::Panic => {
                        self.at_once.fetch_sub(1, Ordering::SeqCst);
                        panic!("the test asked for it")
                    }
                },
                () = cancelled => JobEnd::Cancelled,
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            JobOutcome { end, detail: format!("{end:?} by the test") }
        })
    }
}

struct TestAlerts(mpsc::UnboundedSender<Alert>);

impl Alerts for TestAlerts {
    fn raise<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        // The test that is over hears of nothing.
        let _over = self.0.send(alert.clone());
        Box::pin(std::future::ready(()))
    }
}

#[derive(Clone)]
struct TestSource(Arc<Mutex<serde_json::Value>>);

impl Source for TestSource {
    fn text(&self) -> io::Result<Option<String>> {
        Ok(Some(self.0.lock().unwrap().to_string()))
    }

    fn entries(&self) -> Result<Vec<Entry>, String> {
        let document = self.0.lock().unwrap().clone();
        file::parse("prod", document.as_object().unwrap(), &["json"]).map_err(|faults| faults[0].to_string())
    }
}

fn nightly(cron: &str) -> serde_json::Value {
    json!({"schedules": [{"name": "nightly", "cron": cron, "zone": "Asia/Shanghai", "deadline_s": 600}]})
}

type Begun = (Timestamp, mpsc::UnboundedSender<Act>);

struct World {
    clock: Arc<TestClock>,
    waits: watch::Receiver<usize>,
    store: Store,
    source: TestSource,
    begun: mpsc::UnboundedReceiver<Begun>,
    alerts: mpsc::UnboundedReceiver<Alert>,
    desk: Desk,
    stop: CancellationToken,
    served: JoinSet<Result<(), ServeError>>,
    _dir: tempfile::TempDir,
}

/// Longer than anything takes on a busy machine; a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The evening before the first night: 02:00 in Shanghai is 18:00 UTC.
const EVENING: &str = "2026-01-01T17:00:00Z";

impl World {
    async fn new(hears: Hears) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kfleet.db")).await.unwrap();
        let mono = EVENING.parse::<Timestamp>().unwrap().as_millisecond();
        let (waits_sender, waits) = watch::channel(0);
        let clock = TestClock { mono: watch::channel(mono).0, step_ms: AtomicI64::new(0), waits: waits_sender };
        let clock = Arc::new(clock);
        let (begun_sender, begun) = mpsc::unbounded_channel();
        let (alert_sender, alerts) = mpsc::unbounded_channel();
        let desk = Desk {
            fleet: "prod".to_owned(),
            store: store.clone(),
            clock: clock.clone(),
            job: Arc::new(TestJob { begun: begun_sender, hears, at_once: AtomicUsize::new(0) }),
            alerts: Arc::new(TestAlerts(alert_sender)),
        };
        let source = TestSource(Arc::new(Mutex::new(nightly("0 2 * * *"))));
        let (stop, served) = (CancellationToken::new(), JoinSet::new());
        Self { clock, waits, store, source, begun, alerts, desk, stop, served, _dir: dir }
    }

    async fn start(&mut self) {
        self.stop = CancellationToken::new();
        let server = Server::new(self.desk.clone(), self.source.clone()).unwrap();
        let stop = self.stop.clone();
        self.waits.mark_unchanged();
        self.served.spawn(async move { server.run(&stop).await });
        self.waits.changed().await.unwrap();
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.served.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Moves both clocks, and waits until the server has looked and waits again.
    async fn pass(&mut self, time: Duration) {
        self.waits.mark_unchanged();
        self.clock.advance(time);
        self.waits.changed().await.unwrap();
    }

    /// Moves both clocks to a moment of the wall clock; a run begins then.
    async fn begins(&mut self, moment: &str) -> Begun {
        let time = moment.parse::<Timestamp>().unwrap().duration_since(self.clock.now());
        self.waits.mark_unchanged();
        self.clock.advance(time.unsigned_abs());
        // A server that was just looking has read the clock before, and naps until the start that it then saw in the past.
        loop {
            tokio::select! {
                begun = self.begun.recv() => return begun.unwrap(),
                () = tokio::time::sleep(PATIENCE) => panic!("nothing begins at {moment}: {:?}", self.runs().await),
                waits = self.waits.changed() => {
                    waits.unwrap();
                    self.clock.advance(NAP);
                }
            }
        }
    }

    /// Ends the run that goes on, and waits until its task is over: then only the server and the test hold the job.
    async fn finish(&self, acts: &mpsc::UnboundedSender<Act>, act: Act) {
        acts.send(act).unwrap();
        while Arc::strong_count(&self.desk.job) > 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn alert(&mut self) -> AlertKind {
        tokio::time::timeout(PATIENCE, self.alerts.recv()).await.unwrap().unwrap().kind
    }

    async fn runs(&self) -> Vec<(String, Option<ScheduleEnd>)> {
        let runs = self.store.schedule_runs("nightly", 50).await.unwrap();
        runs.iter().map(|run| (run.occurrence.to_string(), run.outcome)).collect()
    }
}

fn ended(kind: &AlertKind) -> Option<ScheduleEnd> {
    match kind {
        AlertKind::Ended { end, .. } => Some(*end),
        AlertKind::Missed { .. } | AlertKind::Overlapped | AlertKind::Recovered | AlertKind::File { .. } => None,
    }
}

#[tokio::test]
async fn nights_are_run_and_what_is_not_well_is_told_and_taken_back() {
    let mut world = World::new(Hears::Cancel).await;
    world.start().await;
    let nights = [
        ("2026-01-01T18:00:00Z", Act::End(JobEnd::Done), ScheduleEnd::Done),
        ("2026-01-02T18:00:00Z", Act::End(JobEnd::Partial), ScheduleEnd::Partial),
        ("2026-01-03T18:00:00Z", Act::Panic, ScheduleEnd::Failed),
        ("2026-01-04T18:00:00Z", Act::End(JobEnd::Done), ScheduleEnd::Done),
        ("2026-01-05T18:00:00Z", Act::End(JobEnd::Done), ScheduleEnd::Done),
    ];
    for (night, act, end) in nights {
        let (occurrence, acts) = world.begins(night).await;
        assert_eq!(occurrence.to_string(), night);
        let intent = world.runs().await;
        assert_eq!(intent[0], (night.to_owned(), None), "the intent is stored before the run");
        world.finish(&acts, act).await;
        assert_eq!(world.runs().await[0], (night.to_owned(), Some(end)));
    }
    let mut told = Vec::new();
    while let Ok(alert) = world.alerts.try_recv() {
        told.push((ended(&alert.kind), alert.takes_back()));
    }
    let wanted = [(Some(ScheduleEnd::Partial), false), (Some(ScheduleEnd::Failed), false), (None, true)];
    assert_eq!(told, wanted, "a quiet night is not told, the first good one after a bad one is");
    world.stop().await;
}

#[tokio::test]
async fn a_run_is_ended_at_its_deadline_even_when_it_does_not_listen() {
    for (hears, wanted) in [(Hears::Cancel, "Cancelled by the test"), (Hears::Nothing, "did not end within 20 s")] {
        let mut world = World::new(hears).await;
        world.start().await;
        let (_, _acts) = world.begins("2026-01-01T18:00:00Z").await;
        world.waits.mark_unchanged();
        world.clock.advance(Duration::from_secs(600));
        // Whoever waits anew, the server or the run for its job to end, gets the time that it waits for at most.
        let alert = loop {
            tokio::select! {
                Some(alert) = world.alerts.recv() => break alert.kind,
                waits = world.waits.changed() => {
                    waits.unwrap();
                    world.clock.advance(Duration::from_secs(20));
                }
            }
        };
        let AlertKind::Ended { end: ScheduleEnd::Overran, detail } = alert else { panic!("{alert:?}") };
        assert!(detail.starts_with("not done after 600 s") && detail.contains(wanted), "{detail}");
        world.stop().await;
    }
}

#[tokio::test]
async fn the_next_night_is_left_out_while_the_last_one_still_runs() {
    let mut world = World::new(Hears::Cancel).await;
    *world.source.0.lock().unwrap() = nightly("*/5 * * * *");
    world.start().await;
    let (_, acts) = world.begins("2026-01-01T17:05:00Z").await;
    world.pass(Duration::from_secs(299)).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.alert().await, AlertKind::Overlapped);
    world.finish(&acts, Act::End(JobEnd::Done)).await;
    let (third, _acts) = world.begins("2026-01-01T17:15:00Z").await;
    assert_eq!(third.to_string(), "2026-01-01T17:15:00Z");
    let wanted = [
        ("2026-01-01T17:15:00Z".to_owned(), None),
        ("2026-01-01T17:10:00Z".to_owned(), Some(ScheduleEnd::Overlapped)),
        ("2026-01-01T17:05:00Z".to_owned(), Some(ScheduleEnd::Done)),
    ];
    assert_eq!(world.runs().await, wanted);
    world.stop().await;
}

#[tokio::test]
async fn after_a_downtime_the_newest_night_is_caught_up_and_the_others_are_told_at_once() {
    let mut world = World::new(Hears::Cancel).await;
    world.start().await;
    world.stop().await;
    world.clock.advance(Duration::from_secs(4 * 86_400 + 7_200));
    world.start().await;
    let (occurrence, acts) = world.begun.recv().await.unwrap();
    assert_eq!(occurrence.to_string(), "2026-01-05T18:00:00Z");
    assert_eq!(world.alert().await, AlertKind::Missed { count: 4 });
    world.finish(&acts, Act::End(JobEnd::Done)).await;
    assert_eq!(world.alert().await, AlertKind::Recovered);
    world.stop().await;
    // A restart runs nothing a second time.
    world.start().await;
    assert!(world.begun.try_recv().is_err() && world.alerts.try_recv().is_err());
    assert_eq!(world.runs().await.len(), 5);
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_runs_no_night_twice_and_loses_none() {
    let mut world = World::new(Hears::Cancel).await;
    world.start().await;
    // Two days and an hour ahead by mistake: noticed at the next look, when two nights seem missed and one is due.
    world.clock.step_ms.store(2 * 86_400_000 + 3_600_000, Ordering::SeqCst);
    world.clock.advance(WAKE);
    let (ahead, acts) = world.begun.recv().await.unwrap();
    assert_eq!(ahead.to_string(), "2026-01-03T18:00:00Z");
    assert_eq!(world.alert().await, AlertKind::Missed { count: 2 });
    world.finish(&acts, Act::End(JobEnd::Done)).await;
    assert_eq!(world.alert().await, AlertKind::Recovered);
    world.clock.step_ms.store(0, Ordering::SeqCst);
    // Twice: a look that was going on may have read the clock before it went back.
    world.pass(WAKE).await;
    world.pass(WAKE).await;
    for night in ["2026-01-01T18:00:00Z", "2026-01-02T18:00:00Z", "2026-01-04T18:00:00Z"] {
        let (occurrence, acts) = world.begins(night).await;
        assert_eq!(occurrence.to_string(), night, "the night that ran while the clock was ahead is not run again");
        world.finish(&acts, Act::End(JobEnd::Done)).await;
    }
    let runs = world.runs().await;
    assert!(runs.len() == 4 && runs.iter().all(|(_, end)| *end == Some(ScheduleEnd::Done)), "{runs:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_run_whose_process_died_is_told_and_a_stopped_one_is_recorded_before_the_end() {
    let mut world = World::new(Hears::Cancel).await;
    let evening: Timestamp = EVENING.parse().unwrap();
    let dead = ScheduleRun {
        name: "nightly".to_owned(),
        cause: Cause::Schedule,
        occurrence: evening - SignedDuration::from_hours(23),
        started: Some(evening),
        ended: None,
        outcome: None,
        detail: String::new(),
        pid: u32::MAX,
        pid_started: 1,
    };
    world.store.begin_schedule_run(&dead, |_| false).await.unwrap().unwrap();
    world.start().await;
    assert_eq!(ended(&world.alert().await), Some(ScheduleEnd::Interrupted));
    let (_, _acts) = world.begins("2026-01-01T18:00:00Z").await;
    world.stop().await;
    let wanted = [
        ("2026-01-01T18:00:00Z".to_owned(), Some(ScheduleEnd::Cancelled)),
        (dead.occurrence.to_string(), Some(ScheduleEnd::Interrupted)),
    ];
    assert_eq!(world.runs().await, wanted);
    assert_eq!(ended(&world.alert().await), Some(ScheduleEnd::Cancelled));
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_wrong_one_is_told_once_and_not() {
    let mut world = World::new(Hears::Cancel).await;
    world.start().await;
    *world.source.0.lock().unwrap() = nightly("0 2 * *");
    world.clock.advance(WAKE);
    let AlertKind::File { why } = world.alert().await else { panic!("another alert") };
    assert!(why.starts_with("schedule nightly: cron '0 2 * *'"), "{why}");
    let (occurrence, acts) = world.begins("2026-01-01T18:00:00Z").await;
    assert_eq!(occurrence.to_string(), "2026-01-01T18:00:00Z", "the old schedules stay");
    world.finish(&acts, Act::End(JobEnd::Done)).await;
    *world.source.0.lock().unwrap() = nightly("0 4 * * *");
    // Twice: a look that was going on has read the file before.
    world.pass(WAKE).await;
    world.pass(WAKE).await;
    let (occurrence, _acts) = world.begins("2026-01-01T20:00:00Z").await;
    assert_eq!(occurrence.to_string(), "2026-01-01T20:00:00Z");
    assert!(world.alerts.try_recv().is_err(), "a wrong file is told once");
    world.stop().await;
}

#[tokio::test]
async fn a_night_that_somebody_runs_by_hand_just_now_is_left_out() {
    let mut world = World::new(Hears::Cancel).await;
    let (pid, pid_started) = crate::execute::process::this();
    let by_hand = ScheduleRun {
        name: "nightly".to_owned(),
        cause: Cause::Hand,
        occurrence: "2026-01-01T17:59:00Z".parse().unwrap(),
        started: None,
        ended: None,
        outcome: None,
        detail: String::new(),
        pid,
        pid_started,
    };
    world.store.begin_schedule_run(&by_hand, |_| true).await.unwrap().unwrap();
    world.start().await;
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.alert().await, AlertKind::Overlapped);
    world.stop().await;
    assert!(world.begun.try_recv().is_err());
}
