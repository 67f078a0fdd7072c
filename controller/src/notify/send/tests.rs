use super::super::channel::KINDS;
use super::super::message::Mark;
use super::super::peer::{Got, Mail, Mailbox, Peer, Reply, SmtpPeer, certificate};
use super::super::samples::{Fake, finding, fleet, inspection, night, notify};
use super::super::{plan, test_message};
use super::*;
use base64::Engine as _;
use kfleet_inspect::State;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex};

const FAST: Retry = Retry {
    tries: 3,
    pause: Duration::from_millis(1),
    longest: Duration::from_secs(5),
    timeout: Duration::from_secs(20),
};

/// HMAC as RFC 2104 writes it, apart from the library that signs.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with).to_vec();
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A number that must be within an hour of this machine's clock, as the robots demand.
fn is_now(stamp: &str, a_second: i64) -> bool {
    stamp.parse::<i64>().is_ok_and(|stamp| (stamp / a_second - Timestamp::now().as_second()).abs() < 3600)
}

/// DingTalk: checks address, signature and shape, and answers as the robot does.
fn dingtalk(secret: &str, got: &Got) -> Reply {
    let fail = |code: i64, text: &str| Reply::of(200, &json!({"errcode": code, "errmsg": text}).to_string());
    let (stamp, sign) = (got.query("timestamp").unwrap_or_default(), got.query("sign").unwrap_or_default());
    if got.query("access_token").as_deref() != Some("tok") {
        return fail(300_001, "token is not exist");
    }
    if !is_now(&stamp, 1000) || sign != base64(&hmac(secret.as_bytes(), format!("{stamp}\n{secret}").as_bytes())) {
        return fail(310_000, "sign not match, more: [https://ding-doc.dingtalk.com/doc]");
    }
    let body = got.json();
    let shape =
        body["msgtype"] == "markdown" && body["markdown"]["title"].is_string() && body["markdown"]["text"].is_string();
    if shape && got.body.len() <= 20_000 { fail(0, "ok") } else { fail(40_035, "缺少参数 json") }
}

fn wecom(got: &Got) -> Reply {
    let fail = |code: i64, text: &str| Reply::of(200, &json!({"errcode": code, "errmsg": text}).to_string());
    if got.query("key").as_deref() != Some("tok") {
        return fail(93_000, "invalid webhook url, hint: [1]");
    }
    let body = got.json();
    let content = body["markdown"]["content"].as_str().unwrap_or_default();
    let shape = body["msgtype"] == "markdown" && (1..=4096).contains(&content.len());
    if shape {
        fail(0, "ok")
    } else {
        fail(40_058, "markdown.content exceed max length 4096. invalid Request Parameter")
    }
}

fn feishu(secret: &str, got: &Got) -> Reply {
    let fail = |code: i64, text: &str| Reply::of(200, &json!({"code": code, "msg": text, "data": {}}).to_string());
    let body = got.json();
    let (stamp, sign) = (body["timestamp"].as_str().unwrap_or_default(), body["sign"].as_str().unwrap_or_default());
    if !got.path.ends_with("/tok") {
        return fail(19_001, "param invalid: incoming webhook access token invalid");
    }
    if !is_now(stamp, 1) || sign != base64(&hmac(format!("{stamp}\n{secret}").as_bytes(), b"")) {
        return fail(19_021, "sign match fail or timestamp is not within one hour from current time");
    }
    let card = &body["card"];
    let shape = body["msg_type"] == "interactive"
        && card["header"]["title"]["tag"] == "plain_text"
        && card["elements"].is_array();
    if shape { fail(0, "success") } else { fail(9_499, "Bad Request") }
}

fn slack(got: &Got) -> Reply {
    if !got.path.ends_with("/tok") {
        return Reply::of(404, "no_service");
    }
    let body = got.json();
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let good = |block: &Value| match block["type"].as_str() {
        Some("header") => block["text"]["type"] == "plain_text",
        Some("section") => block["text"]["type"] == "mrkdwn",
        _ => false,
    };
    let shape = body["text"].is_string() && !blocks.is_empty() && blocks.iter().all(good);
    if shape { Reply::of(200, "ok") } else { Reply::of(400, "invalid_payload") }
}

fn pagerduty(got: &Got) -> Reply {
    let body = got.json();
    let fail = |text: &str| {
        Reply::of(
            400,
            &json!({"status": "invalid event", "message": "Event object is invalid", "errors": [text]}).to_string(),
        )
    };
    if body["routing_key"] != "tok" {
        return fail("'routing_key' is invalid or blank");
    }
    let action = body["event_action"].as_str().unwrap_or_default();
    let payload = &body["payload"];
    let severity = payload["severity"]
        .as_str()
        .is_some_and(|severity| ["critical", "error", "warning", "info"].contains(&severity));
    let shape = match action {
        "trigger" => severity && payload["summary"].is_string() && payload["source"].is_string(),
        "acknowledge" | "resolve" => body["dedup_key"].is_string(),
        _ => false,
    };
    if !shape {
        return fail("'payload' is missing or blank");
    }
    Reply::of(
        202,
        &json!({"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}).to_string(),
    )
}

fn alertmanager(got: &Got) -> Reply {
    if got.headers.get("authorization").map(String::as_str) != Some("Bearer tok") {
        return Reply::of(401, "Unauthorized");
    }
    let body = got.json();
    let text = |alert: &Value, name: &str| alert[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let good = |alert: &Value| {
        let named = alert["labels"]["alertname"].is_string();
        let texts = |of: &Value| of.as_object().is_some_and(|of| of.values().all(Value::is_string));
        let order = text(alert, "startsAt").zip(text(alert, "endsAt")).is_some_and(|(from, until)| from <= until);
        named && texts(&alert["labels"]) && texts(&alert["annotations"]) && order
    };
    let shape = got.path == "/api/v2/alerts"
        && body.as_array().is_some_and(|alerts| !alerts.is_empty() && alerts.iter().all(good));
    if shape { Reply::of(200, "") } else { Reply::of(400, "\"parsing alerts body failed\"") }
}

/// The generic webhook, signed.
fn webhook(secret: &str, got: &Got) -> Reply {
    let stamp = got.headers.get("x-kfleet-timestamp").cloned().unwrap_or_default();
    let sign: String = hmac(secret.as_bytes(), format!("{stamp}.{}", got.body).as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    if !is_now(&stamp, 1) || got.headers.get("x-kfleet-signature") != Some(&format!("v1={sign}")) {
        return Reply::of(401, "bad signature");
    }
    let body = got.json();
    let own = body["schema"] == "kfleet-notice/1" && body["items"].is_array();
    let other = body["version"] == "4"
        && body["alerts"].as_array().is_some_and(|alerts| alerts.iter().all(|alert| alert["status"].is_string()));
    if own || other { Reply::of(204, "") } else { Reply::of(422, "what is this?") }
}

fn message() -> Message {
    let findings = vec![
        finding("disk.space", "host:kafka-1/volume:/data", State::Crit),
        finding("zk.mode", "host:zk-1", State::Warn),
    ];
    let text = "channels: {a: {type: slack, url: \"https://h/x\"}}\nroutes: [{channels: a}]";
    let plan = plan(&inspection(night(1), findings), &notify(text, &Fake::default()).routing, &Default::default(), &[]);
    plan.notices.into_iter().next().unwrap().message
}

/// Sends a message by the settings of one channel.
async fn sent(settings: &str, retry: Retry) -> Delivery {
    sent_with(settings, &Fake::default(), retry).await
}

async fn sent_with(settings: &str, outside: &Fake, retry: Retry) -> Delivery {
    let notify = notify(&format!("channels: {{a: {{{settings}}}}}"), outside);
    deliver(&notify.channels["a"], &message(), None, retry, &mut Paced::default()).await
}

fn refused(delivery: &Delivery) -> (&str, Option<&'static str>) {
    let Outcome::Refused { why, hint } = &delivery.outcome else { panic!("{delivery:?}") };
    (why, *hint)
}

#[tokio::test]
async fn every_http_peer_takes_the_message_and_says_what_is_wrong_otherwise() {
    type Check = fn(&Got) -> Reply;
    type Case = (&'static str, Check, &'static str, &'static str, &'static str);
    let cases: [Case; 9] = [
        (
            "dingtalk",
            |got| dingtalk("sec", got),
            "url: \"{}/robot/send?access_token=tok\", secret: sec",
            "url: \"{}/robot/send?access_token=tok\", secret: wrong",
            "310000",
        ),
        (
            "wecom",
            wecom,
            "url: \"{}/cgi-bin/webhook/send?key=tok\"",
            "url: \"{}/cgi-bin/webhook/send?key=wrong\"",
            "93000",
        ),
        (
            "feishu",
            |got| feishu("sec", got),
            "url: \"{}/open-apis/bot/v2/hook/tok\", secret: sec",
            "url: \"{}/open-apis/bot/v2/hook/tok\", secret: wrong",
            "19021",
        ),
        ("slack", slack, "url: \"{}/services/tok\"", "url: \"{}/services/wrong\"", "no_service"),
        (
            "pagerduty",
            pagerduty,
            "url: \"{}/v2/enqueue\", routing_key: tok",
            "url: \"{}/v2/enqueue\", routing_key: wrong",
            "400",
        ),
        ("alertmanager", alertmanager, "url: \"{}\", token: tok", "url: \"{}\", token: wrong", "401"),
        (
            "webhook",
            |got| webhook("sec", got),
            "url: \"{}/hook\", secret: sec",
            "url: \"{}/hook\", secret: wrong",
            "401",
        ),
        (
            "webhook",
            |got| webhook("sec", got),
            "url: \"{}/hook\", secret: sec, format: alertmanager",
            "url: \"{}/hook\"",
            "401",
        ),
        (
            "dingtalk",
            |got| dingtalk("sec", got),
            "url: \"{}/robot/send?access_token=tok\", secret: sec, language: zh",
            "url: \"{}/robot/send?access_token=x\", secret: sec",
            "300001",
        ),
    ];
    for (kind, check, good, wrong, said) in cases {
        let peer = Peer::http(move |got, _| check(got)).await;
        let settings = |text: &str| format!("type: {kind}, {}", text.replace("{}", peer.url("").trim_end_matches('/')));
        let delivery = sent(&settings(good), FAST).await;
        assert_eq!((&delivery.outcome, delivery.tries), (&Outcome::Delivered, 1), "{kind}: {delivery:?}");
        let delivery = sent(&settings(wrong), FAST).await;
        let (why, hint) = refused(&delivery);
        assert!(why.contains(said) && hint.is_some(), "{kind}: {why} {hint:?}");
        assert_eq!(delivery.tries, 1, "{kind}: what is refused is not tried again");
        assert_eq!(peer.got().len(), 2, "{kind}");
    }
    let http: Vec<&str> = KINDS.iter().map(|kind| kind.name).filter(|name| *name != "email").collect();
    assert!(
        http.iter().all(|name| cases.iter().any(|(kind, ..)| kind == name)),
        "every kind has a peer here: {http:?}"
    );
}

#[tokio::test]
async fn the_peer_s_own_words_are_kept_without_secrets() {
    let peer = Peer::http(|got, _| {
        Reply::of(403, &format!("no access for {} at {}\n{}", got.json()["routing_key"], got.path, "x".repeat(5000)))
    })
    .await;
    let delivery =
        sent(&format!("type: pagerduty, url: \"{}\", routing_key: R0UTINGKEY", peer.url("/v2/enqueue")), FAST).await;
    assert!(delivery.raw.starts_with("no access for \"***\" at /v2/enqueue\nxxx"), "{}", delivery.raw);
    assert!(delivery.raw.len() <= RAW_BYTES && delivery.raw.ends_with('…'));
    assert!(!format!("{delivery:?}").contains("R0UTINGKEY"));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let ok = || Reply::of(200, "ok");
    type Case = (&'static str, Vec<Reply>, u32, fn(&Outcome) -> bool);
    let cases: Vec<Case> = vec![
        ("too many, then ok", vec![Reply::Http(429, "retry-after: 0\r\n", String::new()), ok()], 2, |end| {
            *end == Outcome::Delivered
        }),
        ("unavailable twice, then ok", vec![Reply::of(503, ""), Reply::of(502, ""), ok()], 3, |end| {
            *end == Outcome::Delivered
        }),
        (
            "always unavailable",
            vec![Reply::of(503, "")],
            3,
            |end| matches!(end, Outcome::Exhausted { why } if why.contains("503")),
        ),
        ("asked to wait too long", vec![Reply::Http(429, "retry-after: 3600\r\n", String::new())], 1, |end| {
            matches!(end, Outcome::Exhausted { .. })
        }),
        ("not to be had", vec![Reply::of(404, "no_service")], 1, |end| matches!(end, Outcome::Refused { .. })),
        ("garbage with status 200", vec![Reply::of(200, "<html>captive portal</html>")], 1, |end| {
            matches!(end, Outcome::Refused { .. })
        }),
        // It may have arrived, and people would read it twice.
        ("no answer", vec![Reply::Close], 1, |end| matches!(end, Outcome::Unknown { .. })),
        ("no HTTP", vec![Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n")], 1, |end| matches!(end, Outcome::Unknown { .. })),
    ];
    for (name, replies, tries, expected) in cases {
        let peer = Peer::http(move |_, before| replies.get(before).or(replies.last()).cloned().unwrap()).await;
        let delivery = sent(&format!("type: slack, url: \"{}\"", peer.url("/services/tok")), FAST).await;
        assert!(expected(&delivery.outcome), "{name}: {delivery:?}");
        assert_eq!((delivery.tries, peer.got().len()), (tries, tries as usize), "{name}");
    }
}

#[tokio::test]
async fn a_robot_that_says_too_fast_with_status_200_is_asked_again() {
    for (kind, path, code, word) in [
        ("dingtalk", "/robot/send?access_token=tok", 130_101, "errcode"),
        ("wecom", "/cgi-bin/webhook/send?key=tok", 45_009, "errcode"),
        ("feishu", "/open-apis/bot/v2/hook/tok", 11_232, "code"),
    ] {
        let peer =
            Peer::http(move |_, before| Reply::of(200, &json!({word: if before == 0 { code } else { 0 }}).to_string()))
                .await;
        let notify =
            notify(&format!("channels: {{a: {{type: {kind}, url: \"{}\"}}}}", peer.url(path)), &Fake::default());
        let delivery = deliver(&notify.channels["a"], &message(), None, FAST, &mut Paced::default()).await;
        assert_eq!((delivery.outcome, delivery.tries), (Outcome::Delivered, 2), "{kind}");
    }
}

#[tokio::test]
async fn what_the_peer_knows_by_its_key_is_sent_again_after_silence() {
    let peer = Peer::http(|got, before| if before == 0 { Reply::Close } else { pagerduty(got) }).await;
    let delivery =
        sent(&format!("type: pagerduty, url: \"{}\", routing_key: tok", peer.url("/v2/enqueue")), FAST).await;
    assert_eq!((delivery.outcome, delivery.tries), (Outcome::Delivered, 2));
    let silent = Peer::http(|_, _| Reply::Close).await;
    let delivery =
        sent(&format!("type: pagerduty, url: \"{}\", routing_key: tok", silent.url("/v2/enqueue")), FAST).await;
    assert!(
        matches!(delivery.outcome, Outcome::Unknown { .. }),
        "it may have arrived in one of three tries: {delivery:?}"
    );
    assert_eq!(silent.got().len(), 3);
}

#[tokio::test]
async fn a_peer_that_says_nothing_holds_nobody_up() {
    let peer = Peer::http(|_, _| Reply::Hang).await;
    let retry = Retry { timeout: Duration::from_millis(200), ..FAST };
    let delivery = sent(&format!("type: slack, url: \"{}\"", peer.url("/services/tok")), retry).await;
    assert!(matches!(&delivery.outcome, Outcome::Unknown { why } if why.contains("timeout")), "{delivery:?}");
    assert_eq!((delivery.status, delivery.tries), (None, 1));
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_tried_again_and_was_not_reached() {
    let port = Peer::http(|_, _| Reply::Close).await.port;
    let delivery = sent(&format!("type: slack, url: \"http://127.0.0.1:{port}/services/tok\""), FAST).await;
    assert!(matches!(delivery.outcome, Outcome::Exhausted { .. }), "{delivery:?}");
    assert_eq!((delivery.status, delivery.tries), (None, 3));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Peer::http(|_, _| Reply::of(200, "ok")).await;
    let location: &'static str = format!("location: {}\r\n", elsewhere.url("/x")).leak();
    for status in [301, 302, 307, 308] {
        let peer = Peer::http(move |_, _| Reply::Http(status, location, String::new())).await;
        let delivery = sent(&format!("type: slack, url: \"{}\"", peer.url("/services/tok")), FAST).await;
        let (why, hint) = refused(&delivery);
        assert!(why.contains(&status.to_string()) && hint.unwrap().contains("redirects"), "{why}");
    }
    assert_eq!(elsewhere.got().len(), 0, "no message went elsewhere");
}

#[tokio::test]
async fn tls_is_proven_against_the_authorities_that_are_trusted() {
    let (pem, acceptor) = certificate();
    let peer = Peer::https(acceptor, |got, _| slack(got)).await;
    let mut outside = Fake::default();
    outside.files.insert("ca.pem", (pem, None));
    let url = format!("https://localhost:{}/services/tok", peer.port);
    let trusted = sent_with(&format!("type: slack, url: \"{url}\", ca_file: ca.pem"), &outside, FAST).await;
    assert_eq!(trusted.outcome, Outcome::Delivered, "{trusted:?}");
    let unknown = sent_with(&format!("type: slack, url: \"{url}\""), &outside, FAST).await;
    assert!(refused(&unknown).0.to_lowercase().contains("certificate"), "{unknown:?}");
    assert_eq!(peer.got().len(), 1, "nothing was said to a peer that is not proven");
}

fn mail_settings(port: u16, more: &str) -> String {
    format!(
        "type: email, host: localhost, port: {port}, from: kfleet <kfleet@example.org>, to: [ops@example.org, night@example.org], {more}"
    )
}

async fn mailed(settings: &str, outside: &Fake, report: Option<&[u8]>) -> Delivery {
    let notify = notify(&format!("channels: {{a: {{{settings}}}}}"), outside);
    deliver(&notify.channels["a"], &message(), report, FAST, &mut Paced::default()).await
}

fn header(mail: &Mail, name: &str) -> String {
    let head = mail.data.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).split_once(": ").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_mail_has_text_html_and_the_report_and_stands_in_the_fleet_s_thread() {
    let peer = SmtpPeer::start(Mailbox { login: Some(("u", "pa55word")), ..Mailbox::default() }).await;
    let settings = mail_settings(peer.port, "security: none, user: u, password: pa55word");
    let report = b"<!DOCTYPE html><p>the whole report</p>";
    let delivery = mailed(&settings, &Fake::default(), Some(report)).await;
    assert_eq!((&delivery.outcome, delivery.status), (&Outcome::Delivered, Some(250)), "{delivery:?}");
    assert_eq!(delivery.raw, "2.0.0 queued as 4711");
    let mails = peer.got();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert!(mail.from.contains("<kfleet@example.org>") && mail.to.len() == 2, "{mail:?}");
    let thread = "<inspections.prod.kfleet@example.org>";
    assert_eq!((header(mail, "In-Reply-To"), header(mail, "References")), (thread.to_owned(), thread.to_owned()));
    assert!(header(mail, "Message-ID").ends_with(".prod.kfleet@example.org>"));
    assert_eq!(header(mail, "Subject"), "[prod] CRIT: 2 new; score 87");
    assert!(header(mail, "Content-Type").starts_with("multipart/mixed"));
    for part in ["multipart/alternative", "text/plain", "text/html", "filename=\"inspection-prod-2026-03-02.html\""] {
        assert!(mail.data.contains(part), "{part} in {}", mail.data);
    }
    let attached = mail.data.split("attachment").nth(1).unwrap();
    let encoded = base64(report);
    let whole = attached.contains("the whole report") || attached.replace("\r\n", "").contains(&encoded);
    assert!(whole, "the report is attached: {attached}");
    // The next night's mail has another id and the same thread.
    mailed(&settings, &Fake::default(), None).await;
    assert_eq!(header(&peer.got()[1], "References"), thread);
    assert_eq!(header(&peer.got()[1], "Message-ID"), header(mail, "Message-ID"), "the same notice has the same id");
}

#[tokio::test]
async fn a_report_that_no_server_takes_is_left_out_and_the_mail_says_so() {
    let peer = SmtpPeer::start(Mailbox::default()).await;
    let report = vec![b'x'; 11_000_000];
    let delivery = mailed(&mail_settings(peer.port, "security: none"), &Fake::default(), Some(&report)).await;
    assert_eq!(delivery.outcome, Outcome::Delivered);
    let data = &peer.got()[0].data;
    assert!(data.len() < 100_000 && data.contains("The report is not attached"), "{data}");
}

#[tokio::test]
async fn mail_goes_over_tls_and_starttls_and_never_in_the_open() {
    let (pem, acceptor) = certificate();
    let mut outside = Fake::default();
    outside.files.insert("ca.pem", (pem, None));
    let login = "user: u, password: pa55word, ca_file: ca.pem";
    for (security, mailbox) in [
        ("starttls", Mailbox { starttls: Some(acceptor.clone()), ..Mailbox::default() }),
        ("tls", Mailbox { tls: Some(acceptor.clone()), ..Mailbox::default() }),
    ] {
        let peer = SmtpPeer::start(Mailbox { login: Some(("u", "pa55word")), ..mailbox }).await;
        let delivery =
            mailed(&mail_settings(peer.port, &format!("security: {security}, {login}")), &outside, None).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "{security}: {delivery:?}");
        assert!(peer.got()[0].encrypted);
        let untrusted = format!("security: {security}, user: u, password: pa55word");
        let delivery = mailed(&mail_settings(peer.port, &untrusted), &outside, None).await;
        assert!(!matches!(delivery.outcome, Outcome::Delivered), "{security} without the authority: {delivery:?}");
        assert_eq!(peer.got().len(), 1);
    }
    // A server without STARTTLS gets neither password nor mail.
    let plain = SmtpPeer::start(Mailbox { login: Some(("u", "pa55word")), ..Mailbox::default() }).await;
    let delivery = mailed(&mail_settings(plain.port, &format!("security: starttls, {login}")), &outside, None).await;
    assert!(!matches!(delivery.outcome, Outcome::Delivered), "{delivery:?}");
    assert!(plain.got().is_empty());
}

#[tokio::test]
async fn the_codes_of_a_mail_server_are_told_apart() {
    type Case = (Mailbox, &'static str, fn(&Delivery) -> bool);
    let cases: [Case; 4] = [
        (Mailbox { login: Some(("u", "right")), ..Mailbox::default() }, "user: u, password: wr0ng-pa55", |d| {
            d.status == Some(535) && refused(d).1.unwrap().contains("password is wrong")
        }),
        (Mailbox { login: Some(("u", "right")), ..Mailbox::default() }, "", |d| {
            d.status == Some(530) && refused(d).1.unwrap().contains("wants a login")
        }),
        (Mailbox { after_data: Some("550 5.7.1 relaying denied"), ..Mailbox::default() }, "", |d| {
            d.raw.contains("relaying denied") && d.tries == 1
        }),
        (Mailbox { after_data: Some("451 4.7.1 greylisted"), ..Mailbox::default() }, "", |d| {
            matches!(d.outcome, Outcome::Exhausted { .. }) && d.tries == 3
        }),
    ];
    for (mailbox, more, expected) in cases {
        let peer = SmtpPeer::start(mailbox).await;
        let comma = if more.is_empty() { "" } else { ", " };
        let delivery =
            mailed(&mail_settings(peer.port, &format!("security: none{comma}{more}")), &Fake::default(), None).await;
        assert!(expected(&delivery), "{delivery:?}");
        assert!(!format!("{delivery:?}").contains("wr0ng-pa55"));
    }
}

#[tokio::test]
async fn one_channel_s_failure_holds_up_no_other_and_only_what_arrived_is_recorded() {
    let good = Peer::http(|_, _| Reply::of(200, "ok")).await;
    let bad = Peer::http(|_, _| Reply::of(404, "no_service")).await;
    let text = format!(
        "channels:\n  good: {{type: slack, url: \"{}\"}}\n  bad: {{type: slack, url: \"{}\"}}\nroutes: [{{channels: [good, bad]}}]\n",
        good.url("/services/tok"),
        bad.url("/services/tok")
    );
    let notify = notify(&text, &Fake::default());
    let inspection = inspection(night(1), vec![finding("disk.space", "host:a", State::Crit)]);
    let planned = plan(&inspection, &notify.routing, &Default::default(), &[]);
    let ends = deliver_all(&notify, planned.notices, None, FAST).await;
    let kept: Vec<(&str, usize)> =
        ends.iter().map(|(delivery, kept)| (delivery.channel.as_str(), kept.len())).collect();
    assert_eq!(kept, [("bad", 0), ("good", 2)], "the cause and the digest");
    let sent: Vec<Sent> = ends.into_iter().flat_map(|(_, kept)| kept).collect();
    let again = plan(&inspection, &notify.routing, &Default::default(), &sent);
    assert_eq!(again.notices.iter().map(|notice| notice.channel.as_str()).collect::<Vec<_>>(), ["bad"]);
}

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_holds_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let peer = Peer::http(|got, before| Reply::of(if before == 0 { 503 } else { 400 }, &got.path)).await;
    let url = peer.url("/robot/send?access_token=T0K3N-IN-URL");
    sent(&format!("type: dingtalk, url: \"{url}\", secret: S3CR3T-KEY"), FAST).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("is tried again") && text.contains("was not delivered"), "{text}");
    assert!(!text.contains("T0K3N-IN-URL") && !text.contains("S3CR3T-KEY"), "{text}");
}

#[test]
fn pauses_double_up_to_the_longest_and_a_peer_s_wish_is_kept() {
    let retry = Retry { tries: 4, pause: Duration::from_secs(2), longest: Duration::from_secs(60), timeout: TIMEOUT };
    let seconds = |tried, asked: Option<u64>, jitter| {
        retry.pause_after(tried, asked.map(Duration::from_secs), jitter).map(|pause| pause.as_secs_f64())
    };
    let cases = [
        ((1, None, 1.0), Some(2.0)),
        ((1, None, 0.0), Some(1.0)),
        ((3, None, 1.0), Some(8.0)),
        ((4, None, 1.0), None),
        ((1, Some(30), 0.5), Some(30.0)),
        ((1, Some(0), 1.0), Some(2.0)),
        ((1, Some(61), 0.5), None),
    ];
    for ((tried, asked, jitter), expected) in cases {
        assert_eq!(seconds(tried, asked, jitter), expected, "after {tried}, asked {asked:?}");
    }
    let many = Retry { tries: 100, ..retry };
    assert_eq!(many.pause_after(50, None, 1.0), Some(Duration::from_secs(60)));
}

#[test]
fn a_channel_s_pace_is_kept_for_all_its_windows() {
    let paces = [Pace::a_second(2), Pace::a_minute(3)];
    let (start, mut paced) = (Instant::now(), Paced::default());
    let at = |ms| start + Duration::from_millis(ms);
    for (now, wait) in [(0, 0), (0, 0), (100, 900), (1000, 0), (1000, 59_000), (60_000, 0)] {
        assert_eq!(paced.wait(&paces, at(now)), Duration::from_millis(wait), "at {now}");
        if wait == 0 {
            paced.sent(at(now), &paces);
        }
    }
    assert_eq!(Paced::default().wait(&[], start), Duration::ZERO);
}

#[tokio::test]
async fn an_event_that_was_tried_is_closed_again() {
    let peer = Peer::http(|got, _| pagerduty(got)).await;
    let notify = notify(
        &format!("channels: {{a: {{type: pagerduty, url: \"{}\", routing_key: tok}}}}", peer.url("/v2/enqueue")),
        &Fake::default(),
    );
    for mark in [Mark::New, Mark::Fixed] {
        let message = test_message(&fleet(), notify.channels["a"].language, Timestamp::now(), mark);
        let delivery = deliver(&notify.channels["a"], &message, None, Retry::ONCE, &mut Paced::default()).await;
        assert_eq!(delivery.outcome, Outcome::Delivered, "{delivery:?}");
    }
    let actions: Vec<Value> = peer.got().iter().map(|got| got.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}
