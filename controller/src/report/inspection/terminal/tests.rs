use super::*;
use crate::report::inspection::samples;

#[test]
fn the_verdict_comes_first_and_then_what_changed_what_is_due_and_the_findings() {
    let text = render(&samples::bad_night().pages(), &Options::default()).unwrap();
    assert!(
        text.starts_with("Nightly inspection prod-sh: crit: something needs a hand\n5 crit, 21 warn, 3 unknown, "),
        "{text}"
    );
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in:\n{text}"));
    let order = [
        "\nWhat changed\n",
        "\nMust act\n  Before the next night: host:kafka-2/volume:/data1 disk.used_bytes reaches 1.82 TiB, earliest 2026-01-16 12:30 UTC",
        "\nRestart-safe now?\n  orders: 10 of 12 safe; Can lose any one member: not safe\n",
        "\nFindings\n",
        "$ kfleet roll stop orders --limit kafka-4 --check",
        "explains 10 findings:",
        "host:kafka-2/volume:/data1  91.3 % (> 85 %)",
        "\nWaived, expected, unknown\n",
    ];
    let places: Vec<usize> = order.iter().map(|what| at(what)).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn nothing_from_a_host_reaches_the_terminal_as_a_command() {
    let text = render(&samples::hostile().pages(), &Options::default()).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    assert!(text.lines().all(|line| line.chars().count() < 2_500), "a text fills screens");
}

#[test]
fn a_large_fleet_is_a_few_screens_and_says_what_it_leaves_out() {
    let text = render(&samples::huge(5_000).pages(), &Options::default()).unwrap();
    assert!(text.lines().count() < 600, "{}", text.lines().count());
    assert!(text.contains(" more objects\n"));
}

#[test]
fn chinese_stands_in_columns_too() {
    let options = Options { language: Language::Chinese, ..Options::default() };
    let text = render(&samples::bad_night().pages(), &options).unwrap();
    assert!(text.starts_with("夜间巡检 prod-sh: 严重: 有问题需要处理\n"), "{text}");
    assert!(text.contains("\n  严重   内核存储错误"), "{text}");
}
