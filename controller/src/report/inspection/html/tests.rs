use super::*;
use crate::report::inspection::samples::{self, Sample};
use std::collections::BTreeMap;

fn page(sample: &Sample) -> String {
    render(&sample.pages(), &Options::default()).unwrap()
}

/// The tags of a page, outside of its style sheet and script.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        tags.push(tag.to_owned());
        rest = match tag {
            "style" => after.split_once("</style>").unwrap().1,
            "script" => after.split_once("</script>").unwrap().1,
            _ => after,
        };
    }
    tags
}

#[test]
fn nothing_in_the_page_is_made_by_a_host_but_text() {
    let page = page(&samples::hostile());
    let names: std::collections::BTreeSet<String> = tags(&page)
        .iter()
        .map(|tag| tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_owned())
        .collect();
    let ours = tags(&self::page(&samples::bad_night()));
    for name in names {
        assert!(ours.iter().any(|tag| tag.trim_start_matches('/').split([' ', '/']).next() == Some(&name)), "<{name}>");
    }
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;"));
    assert!(page.contains("{{ 7*7 }}{% raw %}&amp;amp;&amp;#60;"), "a text was taken for a template");
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!page.contains('\u{202e}') && page.contains("invoice\\u{202e}fdp.exe"));
    assert!(page.contains("… (+16000)"), "a long text is not cut");
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

#[test]
fn a_page_asks_for_nothing_and_allows_only_itself() {
    for sample in samples::all() {
        let page = page(&sample);
        for tag in tags(&page) {
            for word in [" style=", " src=", " onclick=", " onerror=", "<iframe", "<object", "<base"] {
                assert!(!format!("<{tag}").contains(word) || tag.contains("&"), "{}: <{tag}>", sample.name);
            }
            let link = tag.split_once("href=\"").map(|(_, rest)| rest.split_once('"').unwrap().0);
            assert!(link.is_none_or(|link| link.starts_with('#') || link == "data:,"), "<{tag}>");
        }
        assert!(
            page.contains(&format!("<style>{STYLE}</style>")) && page.contains(&format!("<script>{SCRIPT}</script>"))
        );
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let policy =
            format!("style-src &#39;sha256-{}&#39;; script-src &#39;sha256-{}&#39;;", hash(STYLE), hash(SCRIPT));
        assert!(page.contains(&policy), "{policy}");
    }
    for word in ["url(", "@import", "@font-face", "http:", "https:"] {
        assert!(!STYLE.contains(word) && !SCRIPT.contains(word), "{word}");
    }
    assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval("));
}

#[test]
fn both_languages_stand_in_the_page_and_it_opens_in_the_one_that_is_wanted() {
    let sample = samples::bad_night();
    for (language, head, title) in [
        (
            Language::English,
            "<html lang=\"en\" data-lang=\"en\"",
            "<title>prod-sh: crit, inspection of 2026-01-15</title>",
        ),
        (Language::Chinese, "<html lang=\"zh\" data-lang=\"zh\"", "<title>prod-sh:严重,2026-01-15 巡检</title>"),
    ] {
        let page = render(&sample.pages(), &Options { language, ..Options::default() }).unwrap();
        assert!(page.contains(head) && page.contains(title), "{}", &page[..400]);
        let both = "<span class=\"en\" lang=\"en\">something needs a hand</span><span class=\"zh\" lang=\"zh-Hans\">有问题需要处理</span>";
        assert!(page.contains(both));
    }
}

#[test]
fn headings_have_an_order_and_every_link_within_leads_somewhere() {
    for sample in samples::all() {
        let page = page(&sample);
        let tags = tags(&page);
        let mut last = 0;
        for level in tags.iter().filter_map(|tag| tag.strip_prefix('h')?.get(..1)?.parse::<u32>().ok()) {
            assert!(level <= last + 1, "{}: h{level} after h{last}", sample.name);
            last = level;
        }
        assert_eq!(tags.iter().filter(|tag| *tag == "h1").count(), 1);
        let mut ids: Vec<&str> =
            tags.iter().filter_map(|tag| Some(tag.split_once(" id=\"")?.1.split_once('"')?.0)).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{}: an id stands twice", sample.name);
        for link in tags.iter().filter_map(|tag| Some(tag.split_once("href=\"#")?.1.split_once('"')?.0)) {
            assert!(ids.contains(&link), "{}: #{link} leads nowhere", sample.name);
        }
    }
}

#[test]
fn every_finding_is_in_the_page_and_what_does_not_fit_is_counted() {
    for sample in samples::all() {
        let page = page(&sample);
        let found = page.matches(" data-find").count();
        assert_eq!(found, sample.inspection.findings.len(), "{}", sample.name);
    }
    let large = page(&samples::huge(12_000));
    let found = large.matches(" data-find").count();
    assert!(found < 12_000 && large.len() < 8_000_000, "{found}, {} bytes", large.len());
    let left: usize = large
        .match_indices(" more are not shown here; the JSON and CSV forms have all")
        .filter_map(|(at, _)| large[..at].rsplit_once('>')?.1.parse::<usize>().ok())
        .sum();
    // The map's rows are counted the same way, and it shows 200 of the 500 hosts.
    assert_eq!(found + left, 12_000 + 300 + 300);
    assert!(page(&samples::healthy()).contains("Every check that applied was read and is well."));
}

#[test]
fn code_in_texts_is_marked_and_a_lone_tick_is_text() {
    for (text, wanted) in [
        ("set `madvise` or `never`", "set <code>madvise</code> or <code>never</code>"),
        ("a ` b", "a ` b"),
        ("`", "`"),
        ("`a` `", "<code>a</code> `"),
    ] {
        assert_eq!(coded(text), wanted);
    }
}

/// The colours of a theme: the variables of the first block, and over it those of the dark one.
fn colours(dark: bool) -> BTreeMap<String, [f64; 3]> {
    let blocks: Vec<&str> =
        STYLE.split(":root{").skip(1).take(2).map(|block| block.split_once('}').unwrap().0).collect();
    let mut all = BTreeMap::new();
    for block in &blocks[..if dark { 2 } else { 1 }] {
        for (name, value) in block.split(';').filter_map(|one| one.trim().strip_prefix("--")?.split_once(":#")) {
            let wide: String =
                if value.len() == 3 { value.chars().flat_map(|c| [c, c]).collect() } else { value.to_owned() };
            let part = |at: usize| f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0;
            all.insert(name.to_owned(), [part(0), part(2), part(4)]);
        }
    }
    all
}

/// [WCAG 2.1, contrast ratio](https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio).
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let light = |colour: [f64; 3]| {
        let part = |c: f64| if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2])
    };
    let (one, other) = (light(one), light(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_has_the_contrast_that_wcag_asks_of_normal_text() {
    for dark in [false, true] {
        let colours = colours(dark);
        let of = |name: &str| *colours.get(name).unwrap_or_else(|| panic!("there is no colour {name}"));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for ground in ["bg", "panel", "faint"] {
            pairs.extend(["ink", "soft", "link"].map(|text| (text.to_owned(), ground.to_owned())));
        }
        for state in ["crit", "warn", "unknown", "ok", "info", "calm"] {
            pairs.push((state.to_owned(), "panel".to_owned()));
            pairs.push((state.to_owned(), format!("{state}-bg")));
        }
        pairs.push(("knock".to_owned(), "crit".to_owned()));
        for (text, ground) in pairs {
            let ratio = contrast(of(&text), of(&ground));
            assert!(ratio >= 4.5, "{text} on {ground}, dark: {dark}: {ratio:.2}");
        }
    }
}

#[test]
fn what_the_template_does_not_know_is_an_error() {
    let mut environment = environment();
    for template in ["{{ nothing }}", "{{ t('NoSuchText') }}", "{{ state_name('good') }}"] {
        environment.add_template("x.html", template).unwrap();
        assert!(environment.get_template("x.html").unwrap().render(()).is_err(), "{template}");
    }
}
