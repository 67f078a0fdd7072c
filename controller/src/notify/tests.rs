//! What every channel must hold to, whatever was found.

use super::channel::{Context, Request};
use super::message::{DedupKey, Language, Mark, Message, Purpose};
use super::plan::{Plan, plan};
use super::samples::{Fake, finding, inspection, night, notify};
use super::settings::Notify;
use super::test_message;
use kfleet_inspect::{Finding, Inspection, State};
use proptest::prelude::*;
use serde_json::Value;

const TOKEN: &str = "T0K3NT0K3NT0K3NT0K3N";

/// Every kind, in both languages, everything routed to all.
fn everything(digest: bool) -> Notify {
    let mut text = "link: https://kfleet.example/inspection\nchannels:\n".to_owned();
    let channels = [
        (
            "ding",
            format!(
                "type: dingtalk, url: \"https://h/robot/send?access_token={TOKEN}\", secret: {TOKEN}1, keyword: 巡检, at: [\"13800000000\", all]"
            ),
        ),
        ("wecom", format!("type: wecom, url: \"https://h/cgi-bin/webhook/send?key={TOKEN}\"")),
        (
            "feishu",
            format!("type: feishu, url: \"https://h/open-apis/bot/v2/hook/{TOKEN}\", secret: {TOKEN}2, keyword: k"),
        ),
        ("slack", format!("type: slack, url: \"https://h/services/{TOKEN}\"")),
        ("mail", format!("type: email, host: h, from: k@example.org, to: o@example.org, user: u, password: {TOKEN}3")),
        ("pager", format!("type: pagerduty, routing_key: {TOKEN}4")),
        ("am", format!("type: alertmanager, url: \"https://h\", user: u, password: {TOKEN}5")),
        ("hook", format!("type: webhook, url: \"https://h/{TOKEN}\", secret: {TOKEN}6")),
        ("hook4", format!("type: webhook, url: \"https://h/{TOKEN}\", token: {TOKEN}7, format: alertmanager")),
    ];
    let mut names = Vec::new();
    for language in Language::ALL.map(Language::name) {
        for (name, settings) in &channels {
            text.push_str(&format!("  {name}-{language}: {{language: {language}, {settings}}}\n"));
            names.push(format!("{name}-{language}"));
        }
    }
    text.push_str(&format!(
        "routes:\n  - {{match: {{severity: info}}, channels: [{}], digest: {digest}, always: true}}\n",
        names.join(", ")
    ));
    notify(&text, &Fake::default())
}

/// What a peer bounds, taken from a rendered request.
fn hold_limits(channel: &str, request: &Request) {
    let Request::Http(request) = request else {
        let Request::Mail(request) = request else { unreachable!() };
        let mail = request.mail.formatted();
        assert!(mail.len() <= 10_000_000, "{channel}: {} bytes", mail.len());
        // RFC 5322, section 2.1.1: at most 998 characters a line.
        assert!(mail.split(|byte| *byte == b'\n').all(|line| line.len() <= 999), "{channel}");
        return;
    };
    let body: Value = serde_json::from_str(&request.body).unwrap_or_else(|error| panic!("{channel}: {error}"));
    match channel.split('-').next().unwrap() {
        "ding" => assert!(request.body.len() <= 20_000),
        "wecom" => assert!(body["markdown"]["content"].as_str().unwrap().len() <= 4096),
        "feishu" => assert!(request.body.len() <= 20_000),
        "slack" => {
            let blocks = body["blocks"].as_array().unwrap();
            assert!(blocks.len() <= 50 && request.body.chars().count() <= 12_000);
            for block in blocks {
                let text = block["text"]["text"].as_str().unwrap();
                let limit = if block["type"] == "header" { 150 } else { 3000 };
                assert!(!text.is_empty() && text.chars().count() <= limit);
            }
        }
        "pager" => {
            assert!(request.body.len() <= 512_000 && body["dedup_key"].as_str().unwrap().chars().count() <= 255);
            let summary = body["payload"]["summary"].as_str();
            assert!(summary.is_none_or(|summary| summary.chars().count() <= 1024));
        }
        "am" => assert!(request.body.len() <= 1024 * 1024 && body.is_array()),
        "hook" | "hook4" => assert!(request.body.len() <= 1024 * 1024),
        other => panic!("the limits of {other} are not known here"),
    }
}

fn render(notify: &Notify, channel: &str, message: &Message) -> Request {
    let context = Context { now: night(1), report: None };
    notify.channels[channel].channel.render(message, context).unwrap_or_else(|error| panic!("{channel}: {error}"))
}

fn planned(notify: &Notify, inspection: &Inspection) -> Plan {
    plan(inspection, &notify.routing, &Default::default(), &[])
}

/// Texts with everything that counts double somewhere: quotes, markup, Chinese, control characters, emoji.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,40}", "[\\u{4e00}-\\u{9fff}]{0,60}", "[<>&\"\\\\\\n\\t\\u{1b}*@`]{0,400}", "\\PC{0,2000}",]
}

prop_compose! {
    fn arbitrary_finding()(
        number in 0..100_000u32,
        object in "[a-z]{1,60}",
        part in "[!-~]{1,300}",
        (title, note, advice) in (text(), text(), text()),
        state in prop::sample::select(vec![State::Info, State::Unknown, State::Warn, State::Crit]),
        flapping in prop::bool::weighted(0.1),
    ) -> Finding {
        let mut finding = finding(&format!("disk.c{number}"), &format!("host:{object}/file:{part}"), state);
        finding.title.en = title.clone();
        finding.title.zh = title;
        finding.note = Some(note);
        finding.advice.en = advice.clone();
        finding.advice.zh = advice;
        if flapping { super::samples::unstable(finding) } else { finding }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_rendered_body_exceeds_its_channel_s_limit(
        findings in prop::collection::vec(arbitrary_finding(), 0..300),
        digest in any::<bool>(),
    ) {
        let notify = everything(digest);
        let plan = planned(&notify, &inspection(night(1), findings));
        for notice in &plan.notices {
            hold_limits(&notice.channel, &render(&notify, &notice.channel, &notice.message));
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_tells_nothing_again(
        findings in prop::collection::vec(arbitrary_finding(), 0..60),
        digest in any::<bool>(),
    ) {
        let notify = everything(digest);
        let inspection = inspection(night(1), findings);
        let first = planned(&notify, &inspection);
        let sent: Vec<_> = first.notices.iter().flat_map(|notice| notice.tells.clone()).chain(first.noted).collect();
        let second = plan(&inspection, &notify.routing, &Default::default(), &sent);
        prop_assert!(second.notices.is_empty(), "{:?}", second.notices);
        for channel in notify.channels.keys() {
            let mut keys: Vec<&DedupKey> = first.notices.iter().filter(|notice| notice.channel == *channel).flat_map(|notice| notice.tells.iter().map(|sent| &sent.key)).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), all, "a cause is told twice to {}", channel);
        }
    }
}

#[test]
fn what_does_not_fit_is_counted_and_the_worst_is_shown_first() {
    let notify = everything(true);
    let mut findings: Vec<Finding> =
        (0..200).map(|n| finding("disk.space", &format!("host:kafka-{n}/volume:/data"), State::Warn)).collect();
    findings.push(finding("disk.readonly", "host:zk-1/volume:/data", State::Crit));
    let plan = planned(&notify, &inspection(night(1), findings));
    for (channel, more) in
        [("wecom-en", " more"), ("wecom-zh", "… 另有 "), ("slack-en", " more"), ("feishu-zh", "… 另有 ")]
    {
        let notice = plan.notices.iter().find(|notice| notice.channel == channel).unwrap();
        let Request::Http(request) = render(&notify, channel, &notice.message) else { unreachable!() };
        let shown = request.body.matches("disk.space").count() + request.body.matches("disk.readonly").count();
        assert!((10..201).contains(&shown), "{channel} shows {shown}");
        assert!(request.body.contains("disk.readonly"), "{channel}: the crit is shown");
        let said = request.body.split(more).next().unwrap();
        let said = if channel.ends_with("zh") {
            request.body.split(more).nth(1).unwrap().split(' ').next().unwrap()
        } else {
            said.rsplit(' ').next().unwrap()
        };
        assert_eq!(said.parse::<usize>().unwrap() + shown, 201, "{channel}: {}", request.body);
    }
}

#[test]
fn no_request_shows_a_secret_and_no_text_leaves_with_evidence() {
    let notify = everything(true);
    let plan = planned(&notify, &inspection(night(1), vec![finding("disk.space", "host:a", State::Crit)]));
    assert_eq!(plan.notices.len(), notify.channels.len());
    for notice in &plan.notices {
        let request = render(&notify, &notice.channel, &notice.message);
        let shown = match &request {
            // The key is a part of the body there, and bodies are not shown.
            Request::Http(request) if notice.channel.starts_with("pager") => {
                format!("{:?}", (&request.url, &request.headers))
            }
            Request::Http(_) | Request::Mail(_) => format!("{request:?}"),
        };
        assert!(!shown.contains(TOKEN), "{}: {shown}", notice.channel);
        if let Request::Http(request) = &request {
            assert!(!request.body.contains("a raw line of the host"), "{}", notice.channel);
        }
    }
}

/// The frame of each channel in both languages, for a person to look at when it changes.
#[test]
fn the_words_of_a_digest_are_these() {
    let notify = everything(true);
    let mut disk = finding("disk.space", "host:kafka-1/volume:/data", State::Crit);
    disk.explains = 2;
    let flapping = super::samples::unstable(finding("broker.isr", "cluster:prod", State::Warn));
    let plan = planned(&notify, &inspection(night(1), vec![disk, flapping]));
    let content = |channel: &str| {
        let notice = plan.notices.iter().find(|notice| notice.channel == channel).unwrap();
        let Request::Http(request) = render(&notify, channel, &notice.message) else { unreachable!() };
        let body: Value = serde_json::from_str(&request.body).unwrap();
        body["markdown"]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        content("wecom-en"),
        "**［prod］ CRIT: 1 new, 1 unstable; score 87**\n\
         Inspection of 2026-03-02 02:00 UTC: crit 1, warn 1; 3 of 3 hosts seen\n\
         **new (1)**\n\
         > <font color=\"warning\">crit</font> host:kafka-1/volume:/data disk.space Used share of volumes\n\
         > 91 %, limit › 85 % (built-in)\n\
         > since 2026-03-01 02:00 UTC; explains 2 more\n\
         > to do: cut retention, grow volume\n\
         **unstable (1)**\n\
         > <font color=\"warning\">warn</font> cluster:prod broker.isr Used share of volumes\n\
         > 91 %, limit › 85 % (built-in)\n\
         > since 2026-03-01 02:00 UTC; unstable: 6 changes in 10 nights\n\
         > to do: cut retention, grow volume\n\
         [Report](https://kfleet.example/inspection)"
    );
    assert_eq!(
        content("wecom-zh"),
        "**［prod］ 严重:1 新增, 1 抖动;健康分 87**\n\
         巡检时间 2026-03-02 02:00 UTC:严重 1, 警告 1;主机覆盖 3/3\n\
         **新增 (1)**\n\
         > <font color=\"warning\">严重</font> host:kafka-1/volume:/data disk.space 卷使用率\n\
         > 91 %,阈值 › 85 % (built-in)\n\
         > 始于 2026-03-01 02:00 UTC;可解释另外 2 项\n\
         > 处置建议:缩短保留时间,扩容\n\
         **抖动 (1)**\n\
         > <font color=\"warning\">警告</font> cluster:prod broker.isr 卷使用率\n\
         > 91 %,阈值 › 85 % (built-in)\n\
         > 始于 2026-03-01 02:00 UTC;抖动:10 夜内变化 6 次\n\
         > 处置建议:缩短保留时间,扩容\n\
         [查看报告](https://kfleet.example/inspection)"
    );
}

#[test]
fn texts_of_hosts_call_nobody_and_link_nowhere() {
    let notify = everything(true);
    let mut evil = finding("disk.space", "host:a/file:<!channel>", State::Warn);
    evil.note = Some("<at id=all></at> <@U1> @13800000000 [click](http://evil.example) <script>".to_owned());
    let plan = planned(&notify, &inspection(night(1), vec![evil]));
    for notice in &plan.notices {
        let request = render(&notify, &notice.channel, &notice.message);
        let chat = notice.channel.split('-').next().unwrap();
        match &request {
            Request::Http(request) if ["ding", "wecom", "slack"].contains(&chat) => {
                for forbidden in ["<at ", "<@U1>", "<!channel>", "](http://evil", "<script>"] {
                    let slack_link = chat == "slack" && forbidden == "](http://evil";
                    assert!(slack_link || !request.body.contains(forbidden), "{chat}: {forbidden} in {}", request.body);
                }
                assert!(chat != "ding" || !request.body.contains("@13800000000"), "nobody is called for a warning");
            }
            Request::Http(request) if chat == "feishu" => {
                let body: Value = serde_json::from_str(&request.body).unwrap();
                assert!(!request.body.contains("lark_md") && body["card"]["elements"].is_array());
            }
            Request::Http(_) => {}
            Request::Mail(request) => {
                let mail = String::from_utf8(request.mail.formatted()).unwrap();
                let page = mail.split("text/html").nth(1).unwrap();
                assert!(!page.contains("<script>"), "{page}");
            }
        }
    }
}

#[test]
fn people_are_called_only_for_crit_and_stand_in_the_text() {
    let notify = everything(true);
    let body = |state| {
        let plan = planned(&notify, &inspection(night(1), vec![finding("disk.space", "host:a", state)]));
        let notice = plan.notices.iter().find(|notice| notice.channel == "ding-zh").unwrap();
        let Request::Http(request) = render(&notify, "ding-zh", &notice.message) else { unreachable!() };
        serde_json::from_str::<Value>(&request.body).unwrap()
    };
    let (crit, warn) = (body(State::Crit), body(State::Warn));
    assert_eq!(crit["at"], serde_json::json!({"atMobiles": ["13800000000"], "isAtAll": true}));
    let text = crit["markdown"]["text"].as_str().unwrap();
    assert!(text.contains("@13800000000") && text.contains("巡检"), "the number and the keyword stand in {text}");
    assert_eq!(warn["at"], serde_json::json!({"atMobiles": [], "isAtAll": false}));
}

#[test]
fn an_event_is_opened_and_resolved_by_one_key_and_an_alert_ends_under_its_old_severity() {
    let notify = everything(true);
    let at = |n, findings| inspection(night(n), findings);
    let disk = |state| vec![finding("disk.space", "host:a/volume:/data", state)];
    let mut sent = Vec::new();
    let mut bodies = Vec::new();
    for (n, findings) in [(1, disk(State::Warn)), (2, disk(State::Crit)), (3, Vec::new())] {
        let plan = plan(&at(n, findings), &notify.routing, &Default::default(), &sent);
        for notice in &plan.notices {
            if let Request::Http(request) = render(&notify, &notice.channel, &notice.message)
                && ["pager-en", "am-en"].contains(&&*notice.channel)
            {
                bodies.push((notice.channel.clone(), serde_json::from_str::<Value>(&request.body).unwrap()));
            }
            for tells in &notice.tells {
                sent.retain(|old: &super::Sent| (&old.channel, &old.key) != (&tells.channel, &tells.key));
                sent.push(tells.clone());
            }
        }
    }
    let of = |name: &str| {
        bodies.iter().filter(|(channel, _)| channel == name).map(|(_, body)| body.clone()).collect::<Vec<_>>()
    };
    let events = of("pager-en");
    let told: Vec<(&str, &str, Option<&str>)> = events
        .iter()
        .map(|event| {
            (
                event["event_action"].as_str().unwrap(),
                event["dedup_key"].as_str().unwrap(),
                event["payload"]["severity"].as_str(),
            )
        })
        .collect();
    let key = "prod/disk.space@host:a/volume:/data";
    assert_eq!(told, [("trigger", key, Some("warning")), ("trigger", key, Some("critical")), ("resolve", key, None)]);
    let alerts: Vec<Vec<(String, bool)>> = of("am-en")
        .iter()
        .enumerate()
        .map(|(n, body)| {
            let now = night(i64::try_from(n).unwrap() + 1);
            let one = |alert: &Value| {
                let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
                let starts: jiff::Timestamp = alert["startsAt"].as_str().unwrap().parse().unwrap();
                assert!(starts <= ends, "{alert}");
                (alert["labels"]["severity"].as_str().unwrap().to_owned(), ends > now)
            };
            body.as_array().unwrap().iter().map(one).collect()
        })
        .collect();
    let alert = |severity: &str, fires| (severity.to_owned(), fires);
    assert_eq!(
        alerts,
        [
            vec![alert("warning", true)],
            vec![alert("critical", true), alert("warning", false)],
            vec![alert("critical", false)]
        ]
    );
}

#[test]
fn a_test_message_says_what_it_is_on_every_channel() {
    let notify = everything(true);
    for (name, configured) in &notify.channels {
        let message = test_message(&super::samples::fleet(), configured.language, night(1), Mark::New);
        assert_eq!(message.purpose, Purpose::Test);
        let text = match render(&notify, name, &message) {
            Request::Http(request) => request.body,
            Request::Mail(request) => {
                String::from_utf8(request.mail.headers().to_string().into_bytes()).unwrap() + &message.title
            }
        };
        let said = text.contains("TEST") || text.contains("测试") || text.contains("notify.test");
        assert!(said, "{name}: {text}");
    }
}
