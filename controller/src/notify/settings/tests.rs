use super::super::samples::{Fake, notify};
use super::*;

const GOOD: &str = r#"
link: https://kfleet.example/inspection
channels:
  ding: {type: dingtalk, language: zh, url: {file: secrets/ding}, secret: {env: DING}, keyword: 巡检, at: ["13800000000", all]}
  wecom: {type: wecom, url: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6-7xxx"}
  feishu: {type: feishu, url: "https://open.feishu.cn/open-apis/bot/v2/hook/abcdefgh", secret: fs-secret}
  slack: {type: slack, url: "https://hooks.slack.com/services/T0/B0/XXXXXXXX"}
  mail:
    type: email
    host: mail.example
    from: kfleet <kfleet@example.org>
    to: [ops@example.org, Night Watch <night@example.org>]
    user: kfleet
    password: {file: secrets/mail}
  pager: {type: pagerduty, routing_key: R0UT1NGKEY}
  am: {type: alertmanager, url: "http://am.example:9093", lasts_hours: 48}
  hook: {type: webhook, url: "https://hook.example/secret-path", secret: hook-secret, format: alertmanager}
routes:
  - match: {severity: crit, clusters: ["prod-*"], checks: ["disk.*"], hosts: ["kafka-*"]}
    channels: [pager, am]
  - channels: ding
    digest: false
    send: everything
    always: true
"#;

fn outside() -> Fake {
    let mut outside = Fake::default();
    outside
        .files
        .insert("secrets/ding", ("https://oapi.dingtalk.com/robot/send?access_token=DINGTOKEN\n".to_owned(), None));
    outside.files.insert("secrets/mail", ("mail-password\n".to_owned(), None));
    outside.env.insert("DING", "SECding");
    outside
}

/// Every diagnostic as a person reads it.
fn told(text: &str, privacy: Privacy, outside: &Fake) -> (bool, String) {
    let loaded = read(text, privacy, outside);
    let told = loaded.diagnostics.render(&kfleet_playbook::Marks::PLAIN);
    (loaded.notify.is_some(), told)
}

#[test]
fn every_kind_can_be_set_up_and_shows_where_it_sends_to() {
    let notify = notify(GOOD, &outside());
    let targets: Vec<(&str, String)> =
        notify.channels.iter().map(|(name, configured)| (name.as_str(), configured.channel.target())).collect();
    let expected = [
        ("am", "http://am.example:9093/api/v2/alerts"),
        ("ding", "https://oapi.dingtalk.com/robot/send***"),
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/***"),
        ("hook", "https://hook.example/***"),
        ("mail", "ops@example.org, night@example.org by mail.example:587 (starttls)"),
        ("pager", "https://events.pagerduty.com/v2/enqueue"),
        ("slack", "https://hooks.slack.com/services/***"),
        ("wecom", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send***"),
    ];
    assert_eq!(targets, expected.map(|(name, target)| (name, target.to_owned())));
    let kinds: std::collections::BTreeSet<&str> = notify.channels.values().map(|channel| channel.kind.name).collect();
    assert_eq!(kinds.len(), KINDS.len(), "the sample has every kind");
    let [first, second] = notify.routing.routes.as_slice() else { panic!("two routes") };
    assert_eq!((first.matches.severity, first.digest, first.always), (State::Crit, true, false));
    assert_eq!((second.matches.severity, second.scope, second.digest), (State::Unknown, Scope::Everything, false));
}

#[test]
fn no_secret_is_in_what_settings_show() {
    let shown = format!("{:?}", notify(GOOD, &outside()));
    for secret in [
        "DINGTOKEN",
        "SECding",
        "693a91f6",
        "abcdefgh",
        "fs-secret",
        "XXXXXXXX",
        "mail-password",
        "R0UT1NGKEY",
        "hook-secret",
        "secret-path",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn mistakes_are_told_with_file_line_and_key_and_never_with_a_secret() {
    let cases: [(&str, &[&str]); 17] = [
        ("chanels: {}", &["notify.yml:1:1", "has no key \"chanels\"", "did you mean 'channels'?"]),
        ("channels: {a: {type: slak, url: x}}", &["there is no type \"slak\"", "did you mean 'slack'?"]),
        ("channels: {a: {url: x}}", &["channel a lacks type"]),
        ("channels: {a: {type: slack}}", &["channel a lacks url"]),
        (
            "channels:\n  a:\n    type: slack\n    url: https://h/T0PSECRET\n    secrt: T0PSECRET",
            &["notify.yml:5:5", "no key \"secrt\""],
        ),
        ("channels: {a: {type: slack, url: ftp://T0PSECRET}}", &["channel a: url: it must begin with https://"]),
        ("channels: {a: {type: slack, url: \"http://h/T0PSECRET\"}}", &["what is sent there is secret"]),
        ("channels: {a: {type: slack, url: {env: NOT_SET}}}", &["the environment has no variable NOT_SET"]),
        ("channels: {a: {type: slack, url: {file: none}}}", &["failed to read none"]),
        ("channels: {a: {type: slack, url: {flie: none}}}", &["a secret is a text, {file: PATH} or {env: NAME}"]),
        ("channels: {a: {type: pagerduty, routing_key: \"T0PSECRET\\nx\"}}", &["more than one line"]),
        (
            "channels: {a: {type: alertmanager, url: \"http://am\", token: T0PSECRET}}",
            &["what is sent there is secret"],
        ),
        (
            "channels: {a: {type: email, host: mail.example, security: none, from: a@b, to: c@d}}",
            &["a server on this machine"],
        ),
        (
            "channels: {a: {type: email, host: h, from: nobody, to: c@d, user: u}}",
            &["user and password belong together"],
        ),
        ("channels: {a: {type: webhook, url: \"https://h\", language: fr}}", &["\"fr\" is not one of en, zh"]),
        (
            "routes: [{channels: [ops], match: {severity: bad}}]",
            &["there is no channel \"ops\"", "\"bad\" is not one of info, unknown, warn, crit"],
        ),
        ("link: \"javascript:alert(1)\"\nroutes: {}", &["link: it must be an http", "routes must be a list"]),
    ];
    for (text, expected) in cases {
        let (valid, told) = told(text, Privacy::Owner, &outside());
        assert!(!valid, "{text} must be refused");
        for expected in expected {
            assert!(told.contains(expected), "{expected:?} of {text}:\n{told}");
        }
        assert!(!told.contains("T0PSECRET"), "{told}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_warned_of() {
    let mut outside = outside();
    outside.files.insert("open", ("https://hooks.slack.com/services/x".to_owned(), Some(Privacy::Others)));
    let (valid, warned) = told("channels: {a: {type: slack, url: {file: open}}}", Privacy::Owner, &outside);
    assert!(valid && warned.contains("warning") && warned.contains("others can read the secret in open"), "{warned}");
    let literal = "channels: {a: {type: slack, url: \"https://hooks.slack.com/services/x\"}}";
    let (valid, warned) = told(literal, Privacy::Others, &outside);
    assert!(valid && warned.contains("chmod 600"), "{warned}");
    let (_, quiet) = told("channels: {a: {type: alertmanager, url: \"http://am:9093\"}}", Privacy::Others, &outside);
    assert_eq!(quiet, "", "an address without a secret may be read");
}

#[test]
fn a_fleet_without_the_file_has_no_channels_and_its_files_are_read_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    assert!(load(dir.path()).unwrap().notify.unwrap().channels.is_empty());
    std::fs::write(dir.path().join("hook"), "https://hooks.slack.com/services/x\n").unwrap();
    std::fs::write(dir.path().join(FILE), "channels: {a: {type: slack, url: {file: hook}}}\n").unwrap();
    for (mode, warnings) in [(0o600, 0), (0o640, 1)] {
        std::fs::set_permissions(dir.path().join("hook"), std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load(dir.path()).unwrap();
        assert!(loaded.notify.is_some());
        assert_eq!(loaded.diagnostics.warnings(), warnings, "mode {mode:o}");
    }
}
