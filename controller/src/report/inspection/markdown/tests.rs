use super::*;
use crate::report::inspection::samples;

#[test]
fn what_has_a_meaning_in_markdown_is_escaped() {
    for (text, wanted) in [
        ("plain text: 91.3 % (> 85 %)", "plain text: 91.3 % (\\> 85 %)"),
        ("*bold* _it_ `code`", "\\*bold\\* \\_it\\_ \\`code\\`"),
        ("<script>&amp;", "\\<script\\>\\&amp;"),
        ("[a](b) ![c](d) | x", "\\[a\\](b) \\!\\[c\\](d) \\| x"),
        ("see http://evil.example www.evil.example", "see http\\://evil.example www\\.evil.example"),
        ("two\nlines", "two\\\\nlines"),
        ("卡夫卡", "卡夫卡"),
    ] {
        assert_eq!(escaped(text), wanted);
    }
}

#[test]
fn code_is_fenced_by_more_ticks_than_it_holds() {
    assert_eq!(code("a"), "` a `");
    assert_eq!(code("a``b"), "``` a``b ```");
    let text = render(&samples::hostile().pages(), &Options::default()).unwrap();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let ticks = line.trim_start();
        match fence {
            None if ticks.starts_with("```") && ticks.trim_matches('`').is_empty() => fence = Some(ticks),
            Some(open) if ticks == open => fence = None,
            None => assert!(!line.contains("<script>") || line.contains("\\<script\\>"), "{line}"),
            Some(_) => {}
        }
    }
    assert_eq!(fence, None, "a fence is not closed");
    assert!(!text.contains('\u{202e}') && text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn the_page_has_the_sections_in_both_languages() {
    let sample = samples::bad_night();
    let text = render(&sample.pages(), &Options::default()).unwrap();
    assert!(
        text.starts_with("# Nightly inspection prod-sh: ❌ crit, something needs a hand\n\n- **❌ crit 5, "),
        "{text}"
    );
    for part in [
        "\n## What changed\n",
        "\n## Must act\n",
        "\n### ❌ crit Kernel storage errors (disk.errors)\n",
        "  kfleet roll stop orders --limit kafka-4 --check\n",
        "- **orders**: 10 of 12 safe; Can lose any one member: not safe\n",
        "\n## Waived, expected, unknown\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let options = Options { language: Language::Chinese, ..Options::default() };
    let text = render(&sample.pages(), &options).unwrap();
    assert!(text.starts_with("# 夜间巡检 prod-sh: ❌ 严重, 有问题需要处理\n"), "{text}");
    assert!(text.contains("\n## 发现项\n") && text.contains("\n## 限期处理\n"));
}
