use super::*;
use crate::fleet::Settings;
use crate::notify::peer::{Peer, Reply};
use crate::notify::{DedupKey, Loaded};
use std::os::unix::fs::PermissionsExt as _;

fn fleet(notify: &str) -> (tempfile::TempDir, Fleet) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, notify).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(dir.path().join("kfleet.toml"), "fleet = \"prod\"\n").unwrap();
    let fleet = Fleet::open(Some(dir.path()), dir.path()).unwrap();
    let Settings { fleet: name, .. } = &fleet.settings;
    assert_eq!(name, "prod");
    (dir, fleet)
}

fn loaded(fleet: &Fleet) -> Notify {
    let Loaded { notify, diagnostics } = settings::load(&fleet.dir).unwrap();
    notify.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

#[tokio::test]
async fn a_test_shows_the_peer_s_raw_answer_and_what_to_do() {
    let peer =
        Peer::http(|_, _| Reply::of(200, "{\"errcode\":310000,\"errmsg\":\"sign not match, timestamp is too old\"}"))
            .await;
    let url = peer.url("/robot/send?access_token=T0K3N-T0K3N");
    let (_dir, fleet) = fleet(&format!("channels: {{ops: {{type: dingtalk, url: \"{url}\", secret: SECabc}}}}"));
    let notify = loaded(&fleet);
    let name = FleetName::new("prod").unwrap();
    let delivery = try_channel(&notify.channels["ops"], &name).await;
    let expected = format!(
        "ops (dingtalk) http://127.0.0.1:{}/robot/send***\n  REFUSED: errcode 310000: sign not match, timestamp is too old\n  status: 200\n  answer: {{\"errcode\":310000,\"errmsg\":\"sign not match, timestamp is too old\"}}\n  hint: the robot's security settings refuse it: wrong secret, a clock that is off, a missing keyword, or an address that is not allowed\n",
        peer.port
    );
    assert_eq!(told(&notify.channels["ops"], &delivery), expected);
    let machine = json(&delivery);
    assert_eq!((&machine["delivered"], &machine["status"]), (&serde_json::json!(false), &serde_json::json!(200)));
    assert!(!machine.to_string().contains("T0K3N"), "{machine}");
    assert!(peer.got()[0].body.contains("TEST"), "the message says what it is");
}

#[tokio::test]
async fn the_command_ends_with_what_the_peers_said() {
    let good = Peer::http(|_, _| Reply::of(200, "ok")).await;
    let bad = Peer::http(|_, _| Reply::of(404, "no_service")).await;
    let mute = Peer::http(|_, _| Reply::Close).await;
    let gone = Peer::http(|_, _| Reply::Close).await.port;
    let (_dir, fleet) = fleet(&format!(
        "channels:\n  good: {{type: slack, url: \"{}\"}}\n  bad: {{type: slack, url: \"{}\"}}\n  mute: {{type: slack, url: \"{}\"}}\n  gone: {{type: slack, url: \"http://127.0.0.1:{gone}/services/x\"}}\n",
        good.url("/services/x"),
        bad.url("/services/x"),
        mute.url("/services/x")
    ));
    let cases: [(&[&str], u8); 6] = [
        (&["good"], 0),
        (&["bad"], 2),
        (&["gone", "good"], 4),
        (&["mute", "gone"], 6),
        (&[], 2),
        (&["good", "mute"], 6),
    ];
    for (channels, code) in cases {
        let args = TestArgs { channels: channels.iter().map(|name| (*name).to_owned()).collect(), json: false };
        assert_eq!(test(&fleet, &args).await.unwrap().code(), code, "{channels:?}");
    }
    let unknown = TestArgs { channels: vec!["nobody".to_owned()], json: false };
    let Err(CliError::Message { text, .. }) = test(&fleet, &unknown).await else { panic!("an error") };
    assert!(text.contains("no channel \"nobody\"; it has bad, gone, good, mute"), "{text}");
}

#[test]
fn the_list_shows_channels_without_secrets_and_those_that_nothing_leads_to() {
    let (_dir, fleet) = fleet(
        "channels:\n  ops: {type: slack, language: zh, url: \"https://hooks.slack.com/services/T0K3N\"}\n  pager: {type: pagerduty, routing_key: T0K3N}\nroutes:\n  - {channels: pager, match: {severity: crit}}\n  - {channels: pager}\n",
    );
    let expected = "\
channel  type       language  target                                   routes
ops      slack      zh        https://hooks.slack.com/services/***     none: nothing is sent there
pager    pagerduty  en        https://events.pagerduty.com/v2/enqueue  1, 2
";
    assert_eq!(listed(&loaded(&fleet)), expected);
}

#[test]
fn settings_that_are_not_valid_end_the_command() {
    let (_dir, fleet) = fleet("channels: {ops: {type: slack}}\n");
    assert!(matches!(load(&fleet), Err(CliError::Diagnostics(found)) if found.errors() == 1));
}

#[test]
fn the_exit_code_is_the_worst_of_all() {
    let ended = |outcome, status| Delivery {
        channel: "a".to_owned(),
        target: String::new(),
        key: DedupKey::stored("prod/x"),
        title: String::new(),
        at: Timestamp::UNIX_EPOCH,
        tries: 1,
        status,
        raw: String::new(),
        outcome,
    };
    let why = || "why".to_owned();
    let silent = || ended(End::Exhausted { why: why() }, None);
    let busy = ended(End::Exhausted { why: why() }, Some(503));
    let unknown = ended(End::Unknown { why: why() }, None);
    assert_eq!(exit(&[]).code(), 0);
    assert_eq!(exit(&[ended(End::Delivered, Some(200)), silent()]).code(), 4);
    assert_eq!(exit(&[unknown.clone(), silent()]).code(), 6);
    assert_eq!(exit(&[busy, unknown]).code(), 2);
}
