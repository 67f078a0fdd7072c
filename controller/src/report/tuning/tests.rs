//! What people read of a few hosts.

use super::*;
use kfleet_model::Change;
use serde_json::json;

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn item(id: &str, status: &str, now: Option<&str>, live: &str, kept: &str) -> Value {
    json!({"id": id, "status": status, "now": now, "wanted": "at most 1", "to": "1", "live": live, "persisted": null,
        "kept": kept, "reason": null, "why": "a reason", "source": "a source", "risk": "none known", "needs": "nothing"})
}

fn result(items: &[Value], changes: Vec<Change>) -> TaskResult {
    let data = json!({"items": items, "profile": "broker", "service": "kafka.service"}).as_object().unwrap().clone();
    TaskResult { changed: !changes.is_empty(), data, changes, ..TaskResult::default() }
}

fn tuning(act: TuneAct) -> (Tuning, Differs) {
    let differs = Differs::default();
    let mut tuning = Tuning::new(act, act.looks(), false, Verbosity::Normal, differs.clone());
    tuning.paint = Paint::plain();
    (tuning, differs)
}

fn limits() -> Value {
    json!({"id": "limits.nofile", "status": "restart", "now": "4096", "wanted": "at least 100000", "to": "100000",
        "live": "differs", "persisted": "100000", "kept": "fits", "why": "many files", "needs": "service_restart"})
}

#[test]
fn hosts_that_stand_alike_share_a_table_and_a_check_tells_of_differences() {
    let (mut tuning, differs) = tuning(TuneAct::Check);
    let items = [
        item("sysctl.vm.swappiness", "differs", Some("60"), "differs", "differs"),
        limits(),
        item("swap", "fits", Some("off"), "fits", "fits"),
    ];
    let changes = vec![Change::new("sysctl.vm.swappiness", "live", "60", "1")];
    for name in ["kafka1", "kafka3"] {
        tuning.take(&host(name), HostStatus::Changed, &result(&items, changes.clone()));
    }
    tuning.take(&host("kafka2"), HostStatus::Ok, &result(&items[1..], Vec::new()));
    let failed = TaskResult::failure("no\u{1b}[2J answer");
    tuning.take(&host("kafka4"), HostStatus::Unreachable, &failed);
    let expected = "\
kafka1, kafka3 (broker)
  item                  now   wanted           next boot  state                                needs      why
  sysctl.vm.swappiness  60    at most 1        -          differs, live and for the next boot             a reason
  limits.nofile         4096  at least 100000  100000     waits for a restart                  a restart  many files
  1 to be set, 1 waiting for a restart, 1 as wanted
  limits.nofile: kafka.service has it after `kfleet roll restart CLUSTER`

kafka2 (broker)
  item           now   wanted           next boot  state                needs      why
  limits.nofile  4096  at least 100000  100000     waits for a restart  a restart  many files
  1 waiting for a restart, 1 as wanted
  limits.nofile: kafka.service has it after `kfleet roll restart CLUSTER`

kafka4
  no\\u{1b}[2J answer
";
    assert_eq!(tuning.told(), expected);
    assert!(differs.get());
}

#[test]
fn what_differs_decides_what_a_check_found() {
    let fits = item("swap", "fits", Some("off"), "fits", "fits");
    let refused = item("sysctl.vm.swappiness", "refused", Some("60"), "refused", "not_here");
    let change = || vec![Change::new("swap", "live", "on", "off")];
    let cases = [
        (TuneAct::Check, vec![fits.clone()], Vec::new(), false),
        (TuneAct::Check, vec![fits.clone(), limits()], Vec::new(), false),
        (TuneAct::Check, vec![refused.clone()], Vec::new(), true),
        (TuneAct::Check, vec![fits.clone()], change(), true),
        (TuneAct::Plan, vec![fits.clone()], change(), true),
        (TuneAct::Apply, vec![refused], change(), false),
        (TuneAct::Revert, vec![fits], change(), false),
    ];
    for (act, items, changes, wanted) in cases {
        let (mut tuning, differs) = tuning(act);
        tuning.take(&host("kafka1"), HostStatus::Ok, &result(&items, changes));
        assert_eq!(differs.get(), wanted, "{act:?} {items:?}");
    }
}

#[test]
fn a_plan_says_why_who_says_so_and_what_can_go_wrong() {
    let (mut tuning, _) = tuning(TuneAct::Plan);
    let mut refused = item("sysctl.vm.swappiness", "refused", Some("60"), "refused", "not_here");
    refused["reason"] = "it is fixed".into();
    tuning.take(&host("zk1"), HostStatus::Ok, &result(&[refused], Vec::new()));
    let expected = "\
zk1 (broker)
  sysctl.vm.swappiness: 60
    state      can not be set: it is fixed
    wanted     at most 1, set to 1
    next boot  nothing so far
    why        a reason
    source     a source
    risk       none known
    needs      nothing, it holds at once
  1 can not be set from here
";
    assert_eq!(tuning.told(), expected);
}

#[test]
fn what_can_not_be_made_to_hold_says_so() {
    let mut thp = item("thp.enabled", "differs", Some("always"), "differs", "not_here");
    let shown = |item: &Value| serde_json::from_value::<Item>(item.clone()).unwrap().standing();
    assert_eq!(shown(&thp), "differs live");
    thp["reason"] = "no systemd is here".into();
    assert_eq!(shown(&thp), "differs live; not for the next boot: no systemd is here");
}

#[test]
fn an_apply_and_a_revert_show_what_they_changed() {
    let changes = vec![
        Change::new("sysctl.vm.swappiness", "live", "60", "1"),
        Change::new("swap", "persisted", Value::Null, "off"),
    ];
    let (mut applied, _) = tuning(TuneAct::Apply);
    applied.take(&host("kafka1"), HostStatus::Changed, &result(&[limits()], changes.clone()));
    let expected = "\
kafka1 (broker)
  item                  what       from  to
  sysctl.vm.swappiness  live       60    1
  swap                  persisted  -     off
  1 waiting for a restart
  limits.nofile: kafka.service has it after `kfleet roll restart CLUSTER`
";
    assert_eq!(applied.told(), expected);
    let (mut reverted, _) = tuning(TuneAct::Revert);
    let warnings = vec!["swap is left as it is".to_owned()];
    let result = TaskResult { changes: changes[..1].to_vec(), warnings, ..TaskResult::default() };
    reverted.take(&host("kafka1"), HostStatus::Changed, &result);
    let expected = "\
kafka1
  item                  what  from  to
  sysctl.vm.swappiness  live  60    1
  put back
  swap is left as it is
";
    assert_eq!(reverted.told(), expected);
}

#[test]
fn machines_get_one_document() {
    let (mut tuning, _) = tuning(TuneAct::Check);
    let items = [item("swap", "fits", Some("off"), "fits", "fits")];
    tuning.take(&host("zk1"), HostStatus::Ok, &result(&items, Vec::new()));
    let document = tuning.as_json();
    assert_eq!((&document["act"], &document["differs"]), (&json!("check"), &json!(false)));
    assert_eq!(document["hosts"]["zk1"]["items"][0]["id"], "swap");
    assert_eq!(document["hosts"]["zk1"]["status"], "ok");
}
