use super::super::samples::{Fake, cleared, finding, inspection, night, notify, unstable};
use super::*;
use kfleet_inspect::Finding;
use kfleet_inspect::memory::Track;

const CHANNELS: &str = "channels:\n  chat: {type: slack, url: \"https://h/x\"}\n  event: {type: pagerduty, routing_key: k}\n  state: {type: alertmanager, url: \"https://h\"}\n";

fn routing(routes: &str) -> Routing {
    notify(&format!("{CHANNELS}routes:\n{routes}"), &Fake::default()).routing
}

/// Nights one after another; what is planned is taken for delivered, unless it is lost.
struct Nights {
    routing: Routing,
    clusters: Clusters,
    sent: Vec<Sent>,
}

impl Nights {
    fn of(routes: &str) -> Self {
        Self { routing: routing(routes), clusters: Clusters::new(), sent: Vec::new() }
    }

    fn keep(&mut self, records: impl IntoIterator<Item = Sent>) {
        for record in records {
            self.sent.retain(|old| (&old.channel, &old.key) != (&record.channel, &record.key));
            self.sent.push(record);
        }
    }

    fn plan(&self, inspection: &Inspection) -> Plan {
        plan(inspection, &self.routing, &self.clusters, &self.sent)
    }

    /// What is told, a line for each message: channel, purpose, and each item's mark, state and subject.
    fn night(&mut self, inspection: &Inspection) -> Vec<String> {
        let plan = self.plan(inspection);
        let lines = lines(&plan);
        self.keep(plan.noted);
        self.keep(plan.notices.into_iter().flat_map(|notice| notice.tells));
        lines
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    let item = |item: &Item| format!("{:?} {} {}@{}", item.mark, item.state.name(), item.check, item.object);
    let line = |notice: &Notice| {
        let items: Vec<String> = notice.message.items.iter().map(item).collect();
        format!("{} {:?}: {}", notice.channel, notice.message.purpose, items.join(", "))
    };
    plan.notices.iter().map(line).collect()
}

fn disk(state: State) -> Finding {
    finding("disk.space", "host:a", state)
}

fn caused(finding: Finding, cause: &Finding) -> Finding {
    Finding { cause: Some(cause.subject()), ..finding }
}

fn acknowledged(finding: Finding) -> Finding {
    Finding { acknowledged: Some("li".to_owned()), ..finding }
}

const CHAT: &str = "  - {channels: chat}\n";
const SINGLE: &str = "  - {channels: chat, digest: false}\n";
const EVENT: &str = "  - {channels: event}\n";

#[test]
fn a_cause_is_told_once_again_when_worse_and_once_when_it_is_no_more() {
    type Step = (&'static str, Vec<Finding>, &'static [&'static str]);
    let steps: Vec<Step> = vec![
        ("new", vec![disk(State::Warn)], &["chat Digest: New warn disk.space@host:a"]),
        ("the same", vec![disk(State::Warn)], &[]),
        ("worse", vec![disk(State::Crit)], &["chat Digest: Worse crit disk.space@host:a"]),
        ("better is not news", vec![disk(State::Warn)], &[]),
        ("and worse again is", vec![disk(State::Crit)], &["chat Digest: Worse crit disk.space@host:a"]),
        ("can not be read now", vec![disk(State::Unknown)], &[]),
        ("gone", vec![], &["chat Digest: Gone crit disk.space@host:a"]),
        ("stays gone", vec![], &[]),
        ("is back", vec![disk(State::Crit)], &["chat Digest: New crit disk.space@host:a"]),
    ];
    let mut nights = Nights::of(CHAT);
    for (n, (name, findings, expected)) in (1..).zip(steps) {
        // What was told as unknown is told to be no more as it was last known.
        let told = nights.night(&inspection(night(n), findings));
        let expected: Vec<String> = expected.iter().map(|line| line.replace("Gone crit", "Gone unknown")).collect();
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn what_is_well_again_is_told_from_gone() {
    for (case, expected) in [("passed", "Fixed"), ("cleared", "Fixed"), ("gone", "Gone"), ("nothing", "Gone")] {
        let mut nights = Nights::of(EVENT);
        nights.night(&inspection(night(1), vec![disk(State::Crit)]));
        let mut after = inspection(night(2), vec![]);
        match case {
            "passed" => _ = after.passed.insert(CheckId::new("disk.space"), vec!["host:a".parse().unwrap()]),
            "cleared" => after.cleared.push(cleared("disk.space", "host:a", State::Crit, Change::Fixed)),
            "gone" => after.cleared.push(cleared("disk.space", "host:a", State::Crit, Change::Gone)),
            _ => {}
        }
        assert_eq!(nights.night(&after), [format!("event Resolved: {expected} crit disk.space@host:a")], "{case}");
    }
}

#[test]
fn nothing_is_resolved_on_a_host_that_was_not_seen() {
    let mut nights = Nights::of(EVENT);
    nights.night(&inspection(night(1), vec![disk(State::Crit)]));
    let mut unseen = inspection(night(2), vec![]);
    unseen.coverage.missing.insert(HostName::new("a").unwrap(), "no answer".to_owned());
    assert_eq!(nights.night(&unseen), Vec::<String>::new());
    assert_eq!(nights.night(&inspection(night(3), vec![])), ["event Resolved: Gone crit disk.space@host:a"]);
}

#[test]
fn a_notice_that_did_not_go_through_is_made_again() {
    let mut nights = Nights::of(EVENT);
    let first = inspection(night(1), vec![disk(State::Crit)]);
    let lost = nights.plan(&first);
    assert_eq!(lines(&nights.plan(&first)), lines(&lost), "nothing was recorded");
    assert_eq!(nights.night(&inspection(night(2), vec![disk(State::Crit)])).len(), 1);
    // The end is lost for a night too.
    let _lost = nights.plan(&inspection(night(3), vec![]));
    assert_eq!(nights.night(&inspection(night(4), vec![])), ["event Resolved: Gone crit disk.space@host:a"]);
}

#[test]
fn followers_are_folded_under_their_cause_which_counts_as_the_worst_of_them() {
    let cause = disk(State::Warn);
    let follower = caused(finding("broker.offline", "cluster:c", State::Crit), &cause);
    let second = caused(finding("topic.isr", "cluster:c/topic:t", State::Crit), &follower);
    let all = vec![second.clone(), follower.clone(), cause.clone()];
    let mut nights = Nights::of("  - {channels: chat, match: {severity: crit}}\n");
    assert_eq!(nights.night(&inspection(night(1), all)), ["chat Digest: New crit disk.space@host:a"]);
    // A cause that is no finding explains nothing.
    let mut nights = Nights::of(CHAT);
    assert_eq!(nights.night(&inspection(night(1), vec![follower])), ["chat Digest: New crit broker.offline@cluster:c"]);
    // A circle hides nothing.
    let (a, b) = (finding("a.a", "host:a", State::Crit), finding("b.b", "host:a", State::Warn));
    let (a, b) = (caused(a.clone(), &b), caused(b, &a));
    let mut nights = Nights::of(CHAT);
    assert_eq!(nights.night(&inspection(night(1), vec![b, a])), ["chat Digest: New crit a.a@host:a"]);
}

#[test]
fn what_is_acknowledged_waived_or_expected_is_not_told_with_what_it_explains() {
    let quiet = |state| Finding { judged: State::Crit, ..disk(state) };
    for cause in [acknowledged(disk(State::Crit)), quiet(State::Waived), quiet(State::Expected)] {
        let mild = caused(finding("broker.offline", "cluster:c", State::Crit), &cause);
        let mut nights = Nights::of(CHAT);
        assert_eq!(nights.night(&inspection(night(1), vec![cause.clone(), mild])), Vec::<String>::new(), "{cause:?}");
    }
    // What is worse than its quiet cause stands for itself.
    let cause = acknowledged(disk(State::Warn));
    let worse = caused(finding("broker.offline", "cluster:c", State::Crit), &cause);
    let mut nights = Nights::of(CHAT);
    assert_eq!(
        nights.night(&inspection(night(1), vec![cause, worse])),
        ["chat Digest: New crit broker.offline@cluster:c"]
    );
}

#[test]
fn an_event_is_acknowledged_waived_and_kept_through_a_window() {
    let steps = [
        (disk(State::Crit), vec!["event Open: New crit disk.space@host:a"]),
        (acknowledged(disk(State::Crit)), vec!["event Acknowledged: Acknowledged crit disk.space@host:a"]),
        (acknowledged(disk(State::Crit)), vec![]),
        (disk(State::Expected), vec![]),
        (disk(State::Waived), vec!["event Resolved: Waived crit disk.space@host:a"]),
        (disk(State::Crit), vec!["event Open: New crit disk.space@host:a"]),
    ];
    let mut nights = Nights::of(EVENT);
    for (n, (finding, expected)) in (1..).zip(steps) {
        assert_eq!(nights.night(&inspection(night(n), vec![finding])), expected, "night {n}");
    }
}

#[test]
fn an_incident_ends_when_it_is_too_mild_for_the_route_but_not_when_it_can_not_be_read() {
    let mut nights = Nights::of("  - {channels: [event, chat], match: {severity: crit}}\n");
    let steps = [
        (State::Crit, vec!["chat Digest: New crit disk.space@host:a", "event Open: New crit disk.space@host:a"]),
        (State::Unknown, vec![]),
        // People are not told that it is no longer told.
        (State::Warn, vec!["event Resolved: Below crit disk.space@host:a"]),
        (State::Warn, vec![]),
        (State::Crit, vec!["chat Digest: New crit disk.space@host:a", "event Open: New crit disk.space@host:a"]),
    ];
    for (n, (state, expected)) in (1..).zip(steps) {
        assert_eq!(nights.night(&inspection(night(n), vec![disk(state)])), expected, "night {n}");
    }
}

#[test]
fn everything_that_is_unstable_is_one_message_and_silent_until_it_settles() {
    let flap = |check: &str, state| unstable(finding(check, "cluster:c", state));
    let mut nights = Nights::of("  - {channels: [chat, event], digest: false}\n");
    let both = vec![flap("a.a", State::Warn), flap("b.b", State::Crit), disk(State::Warn)];
    let told = nights.night(&inspection(night(1), both.clone()));
    assert_eq!(
        told,
        [
            "chat Open: New warn disk.space@host:a",
            "chat Unstable: Unstable crit b.b@cluster:c, Unstable warn a.a@cluster:c",
            "event Open: New warn disk.space@host:a",
            "event Unstable: Unstable crit b.b@cluster:c, Unstable warn a.a@cluster:c",
        ]
    );
    assert_eq!(nights.night(&inspection(night(2), both)), Vec::<String>::new());
    // One is well for a night: it is not settled, so nothing is told.
    let mut well = inspection(night(3), vec![flap("b.b", State::Crit), disk(State::Warn)]);
    let track = |states: &[State]| Track {
        states: states.to_vec(),
        since: None,
        good: 1,
        limit: None,
        unstable: false,
        at: night(3),
    };
    well.memory.tracks.insert("a.a@cluster:c".to_owned(), track(&[State::Warn, State::Ok, State::Warn, State::Ok]));
    assert_eq!(nights.night(&well), Vec::<String>::new());
    // Both are settled.
    let mut settled = inspection(night(4), vec![disk(State::Warn)]);
    for check in ["a.a", "b.b"] {
        settled.passed.insert(CheckId::new(check), vec!["cluster:c".parse().unwrap()]);
        settled
            .memory
            .tracks
            .insert(format!("{check}@cluster:c"), track(&[State::Warn, State::Ok, State::Ok, State::Ok]));
    }
    assert_eq!(
        nights.night(&settled),
        [
            "chat Resolved: Fixed crit b.b@cluster:c",
            "chat Resolved: Fixed warn a.a@cluster:c",
            "event Resolved: Fixed crit b.b@cluster:c",
            "event Resolved: Fixed warn a.a@cluster:c",
            "event Resolved: ",
        ]
    );
}

#[test]
fn something_unstable_that_gets_worse_is_told() {
    let mut nights = Nights::of(CHAT);
    nights.night(&inspection(night(1), vec![unstable(disk(State::Warn))]));
    assert_eq!(
        nights.night(&inspection(night(2), vec![unstable(disk(State::Crit))])),
        ["chat Digest: Unstable crit disk.space@host:a"]
    );
}

#[test]
fn a_digest_is_sent_without_news_only_when_always_is_set() {
    let quiet = inspection(night(1), vec![]);
    let mut nights = Nights::of("  - {channels: chat, always: true}\n");
    assert_eq!(nights.night(&quiet), ["chat Digest: "]);
    assert_eq!(nights.night(&quiet), Vec::<String>::new(), "the same inspection is told once");
    assert_eq!(nights.night(&inspection(night(2), vec![])), ["chat Digest: "]);
    let mut nights = Nights::of(CHAT);
    assert_eq!(nights.night(&quiet), Vec::<String>::new());
}

#[test]
fn a_digest_of_everything_has_what_is_still_open_too() {
    for (scope, expected) in [
        ("everything", "chat Digest: New warn b.b@host:a, Open warn disk.space@host:a"),
        ("changes", "chat Digest: New warn b.b@host:a"),
    ] {
        let mut nights = Nights::of(&format!("  - {{channels: chat, send: {scope}}}\n"));
        nights.night(&inspection(night(1), vec![disk(State::Warn)]));
        let both = vec![disk(State::Warn), finding("b.b", "host:a", State::Warn)];
        assert_eq!(nights.night(&inspection(night(2), both)), [expected]);
    }
}

#[test]
fn a_storm_of_single_messages_becomes_a_digest() {
    for (many, messages) in [(MOST_SINGLE, MOST_SINGLE), (MOST_SINGLE + 1, 1)] {
        let findings = (0..many).map(|n| finding("disk.space", &format!("host:h{n}"), State::Warn)).collect();
        let told = Nights::of(SINGLE).night(&inspection(night(1), findings));
        assert_eq!(told.len(), messages, "{many} findings: {told:?}");
    }
}

#[test]
fn the_first_route_that_takes_a_finding_decides_for_a_channel() {
    let routes = "  - {match: {checks: [\"disk.*\"]}, channels: chat, digest: false}\n  - {channels: [chat, event]}\n";
    let findings = vec![disk(State::Warn), finding("zk.mode", "host:a", State::Warn)];
    assert_eq!(
        Nights::of(routes).night(&inspection(night(1), findings)),
        [
            "chat Digest: New warn zk.mode@host:a",
            "chat Open: New warn disk.space@host:a",
            "event Open: New warn disk.space@host:a",
            "event Open: New warn zk.mode@host:a",
        ]
    );
}

#[test]
fn routes_match_by_severity_cluster_host_and_check() {
    let cases = [
        ("severity: warn", vec!["disk.space@host:a", "broker.isr@cluster:prod-1"]),
        ("severity: unknown", vec!["disk.space@host:a", "broker.isr@cluster:prod-1", "zk.mode@host:b"]),
        (
            "severity: info",
            vec!["disk.space@host:a", "broker.isr@cluster:prod-1", "zk.mode@host:b", "fleet.versions@fleet"],
        ),
        ("clusters: \"prod-*\"", vec!["disk.space@host:a", "broker.isr@cluster:prod-1"]),
        ("clusters: test", vec![]),
        ("hosts: [b, c]", vec!["zk.mode@host:b"]),
        ("checks: [\"disk.*\", \"zk.*\"]", vec!["disk.space@host:a", "zk.mode@host:b"]),
    ];
    let findings = vec![
        disk(State::Crit),
        finding("broker.isr", "cluster:prod-1", State::Warn),
        finding("zk.mode", "host:b", State::Unknown),
        finding("fleet.versions", "fleet", State::Info),
    ];
    for (matches, expected) in cases {
        let mut nights = Nights::of(&format!("  - {{match: {{{matches}}}, channels: chat}}\n"));
        nights.clusters.insert(HostName::new("a").unwrap(), BTreeSet::from([ClusterName::new("prod-1").unwrap()]));
        let plan = nights.plan(&inspection(night(1), findings.clone()));
        let told: Vec<String> = plan
            .notices
            .iter()
            .flat_map(|notice| notice.message.items.iter().map(|item| format!("{}@{}", item.check, item.object)))
            .collect();
        assert_eq!(told, expected, "{matches}");
    }
}

#[test]
fn a_state_channel_gets_everything_every_night_and_the_end_once() {
    let mut nights = Nights::of("  - {channels: state}\n");
    assert_eq!(
        nights.night(&inspection(night(1), vec![disk(State::Warn)])),
        ["state Digest: New warn disk.space@host:a"]
    );
    assert_eq!(
        nights.night(&inspection(night(2), vec![disk(State::Warn)])),
        ["state Digest: Open warn disk.space@host:a"]
    );
    assert_eq!(nights.night(&inspection(night(2), vec![disk(State::Warn)])), Vec::<String>::new());
    assert_eq!(nights.night(&inspection(night(3), vec![])), ["state Digest: Gone warn disk.space@host:a"]);
    assert_eq!(nights.night(&inspection(night(4), vec![])), Vec::<String>::new());
}

#[test]
fn what_another_fleet_was_told_is_not_touched() {
    let mut nights = Nights::of(EVENT);
    nights.sent.push(Sent {
        channel: "event".to_owned(),
        key: DedupKey::stored("test/disk.space@host:a"),
        at: night(0),
        told: Told::Open(State::Crit),
    });
    assert_eq!(nights.night(&inspection(night(1), vec![])), Vec::<String>::new());
}
