//! The HTML report as a browser shows it.
//!
//! What is asked is where things are and whether they are seen, not which colour each pixel has: fonts differ between
//! machines and their versions, so stored pictures would fail on every other one and be renewed without a look. With
//! `REPORT_PAGES=folder` the pages, pictures and documents are left in that folder for people to look at.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kfleet::report::inspection::samples::{self, Sample};
use kfleet::report::inspection::{Format, Language, Options, render};
use kfleet_tests::browser::{Browser, Page};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The widths of a desk and of a phone.
const WIDTHS: [u32; 2] = [1280, 390];

/// Elements that reach out of the window, or whose own text does not fit into them. What is inside a box that scrolls by
/// itself does not count, nor what is there for screen readers only.
const OUTSIDE: &str = r#"(() => {
  const wide = document.documentElement.clientWidth, out = [];
  if (document.documentElement.scrollWidth > wide) out.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest("svg, .sr") || !one.checkVisibility({contentVisibilityAuto: true})) continue;
    const box = one.getBoundingClientRect();
    if (box.width === 0) continue;
    if (box.right > wide + 0.5 || box.left < -0.5) out.push(`${one.tagName}.${one.className} ${box.left}..${box.right}`);
    if (one.matches(".badge, .mark, h1, h2, h3, .cell, .switch button, .facts dd, th") && one.scrollWidth > one.clientWidth + 1
        && one.clientWidth > 0 && getComputedStyle(one).display !== "inline" && getComputedStyle(one).textOverflow !== "ellipsis")
      out.push(`${one.tagName}.${one.className} is too narrow for ${one.textContent.slice(0, 40)}`);
  }
  return out.slice(0, 10);
})()"#;

/// Parts of a finding's line that lie over each other.
const OVERLAPS: &str = r#"(() => {
  const out = [];
  for (const line of Array.from(document.querySelectorAll(".row > summary, .deadlines > li, .changes > li")).slice(0, 300)) {
    const boxes = Array.from(line.children).map((one) => one.getBoundingClientRect()).filter((box) => box.width && box.height);
    for (let a = 0; a < boxes.length; a += 1) for (let b = a + 1; b < boxes.length; b += 1) {
      const x = Math.min(boxes[a].right, boxes[b].right) - Math.max(boxes[a].left, boxes[b].left);
      const y = Math.min(boxes[a].bottom, boxes[b].bottom) - Math.max(boxes[a].top, boxes[b].top);
      if (x > 1 && y > 1) out.push(line.textContent.trim().slice(0, 60));
    }
  }
  return out.slice(0, 5);
})()"#;

/// How many findings can be seen.
const SEEN: &str = r#"Array.from(document.querySelectorAll("[data-find]")).filter((one) =>
  one.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}) && one.getBoundingClientRect().height > 4).length"#;

/// Which languages can be seen.
const LANGUAGES: &str = r#"["en", "zh"].filter((language) =>
  Array.from(document.querySelectorAll("." + language)).some((one) => one.checkVisibility()))"#;

struct Look {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Look {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = std::env::var_os("REPORT_PAGES").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        Self { folder, _temporary: temporary }
    }

    fn write(&self, sample: &Sample, language: Language) -> PathBuf {
        let zone = Some(jiff::tz::TimeZone::posix("CST-8").unwrap());
        let options = Options { language, zone, ..Options::default() };
        let path = self.folder.join(format!("{}-{}.html", sample.name, language.tag()));
        std::fs::write(&path, render(Format::Html, &sample.pages(), &options).unwrap()).unwrap();
        path
    }

    fn keep(&self, name: &str, base64: &str) -> Vec<u8> {
        let bytes = STANDARD.decode(base64).unwrap();
        std::fs::write(self.folder.join(name), &bytes).unwrap();
        bytes
    }
}

fn browser(test: &str) -> Option<Browser> {
    let browser = Browser::start().unwrap();
    if browser.is_none() {
        println!("{test}: skipped, there is no Chromium here (Debian: apt-get install chromium fonts-noto-cjk)");
    }
    browser
}

fn nothing(page: &mut Page<'_>, question: &str, about: &str) {
    assert_eq!(page.evaluate(question).unwrap(), json!([]), "{about}");
}

fn number(page: &mut Page<'_>, question: &str) -> usize {
    usize::try_from(page.evaluate(question).unwrap().as_u64().unwrap()).unwrap()
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_page_fits_desk_and_phone_in_both_languages_and_asks_for_nothing() {
    let Some(mut browser) = browser("pages on screens") else { return };
    let look = Look::new();
    for sample in samples::all() {
        for language in [Language::English, Language::Chinese] {
            let path = look.write(&sample, language);
            for width in WIDTHS {
                let about = format!("{} at {width} pixels", name(&path));
                let mut page = browser.page(width, 1600).unwrap();
                let scheme = if width == WIDTHS[0] { "light" } else { "dark" };
                page.media("screen", scheme).unwrap();
                page.open(&path).unwrap();
                nothing(&mut page, OUTSIDE, &about);
                nothing(&mut page, OVERLAPS, &about);
                assert_eq!(page.evaluate(LANGUAGES).unwrap(), json!([language.tag()]), "{about}");
                if sample.inspection.findings.len() < 1_000 {
                    look.keep(&format!("{}-{width}-{scheme}.png", name(&path)), &page.screenshot().unwrap());
                    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true").unwrap();
                    nothing(&mut page, OUTSIDE, &format!("{about}, all open"));
                    assert_eq!(number(&mut page, SEEN), sample.inspection.findings.len(), "{about}");
                }
                assert_eq!((page.requests(), page.complaints()), (vec![], vec![]), "{about}");
            }
        }
    }
}

#[test]
fn the_switch_changes_every_text_and_the_title() {
    let Some(mut browser) = browser("switching languages") else { return };
    let look = Look::new();
    let path = look.write(&samples::bad_night(), Language::English);
    let mut page = browser.page(1280, 900).unwrap();
    page.open(&path).unwrap();
    for (language, head, title) in [
        ("zh", "严重:有问题需要处理", "prod-sh：严重，2026-01-15 巡检"),
        ("en", "Critical: something needs a hand", "prod-sh: crit, inspection of 2026-01-15"),
    ] {
        page.evaluate(&format!("document.querySelector('[data-set-lang={language}]').click()")).unwrap();
        assert_eq!(page.evaluate(LANGUAGES).unwrap(), json!([language]));
        let shown = page.evaluate("document.querySelector('h1').innerText.replace(/\\s+/g, ' ')").unwrap();
        let plain = |text: &str| text.replace([' ', ':'], "").replace('\u{ff1a}', "");
        assert_eq!(plain(shown.as_str().unwrap()), plain(head));
        assert_eq!(page.evaluate("document.title").unwrap(), title);
        let pressed = page.evaluate("document.querySelector('[aria-pressed=true]').dataset.setLang").unwrap();
        assert_eq!(pressed, language);
    }
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn without_scripts_the_page_speaks_its_language_and_offers_no_button_that_does_nothing() {
    let Some(mut browser) = browser("pages without scripts") else { return };
    let look = Look::new();
    for language in [Language::English, Language::Chinese] {
        let path = look.write(&samples::bad_night(), language);
        let mut page = browser.page(1280, 900).unwrap();
        page.without_scripts().unwrap();
        page.open(&path).unwrap();
        assert_eq!(page.evaluate(LANGUAGES).unwrap(), json!([language.tag()]));
        let buttons =
            "Array.from(document.querySelectorAll('button, input')).filter((one) => one.checkVisibility()).length";
        assert_eq!(number(&mut page, buttons), 0);
    }
}

#[test]
fn paper_shows_every_finding_with_its_evidence_dark_or_filtered_as_the_screen_may_be() {
    let Some(mut browser) = browser("pages on paper") else { return };
    let look = Look::new();
    for sample in [samples::healthy(), samples::bad_night(), samples::half_missing(), samples::hostile()] {
        let path = look.write(&sample, Language::English);
        for scripts in [true, false] {
            let about = format!("{}, scripts: {scripts}", sample.name);
            let mut page = browser.page(794, 1123).unwrap();
            if !scripts {
                page.without_scripts().unwrap();
            }
            page.media("screen", "dark").unwrap();
            page.open(&path).unwrap();
            if scripts && !sample.inspection.findings.is_empty() {
                filter(&mut page, "no such thing anywhere");
                assert_eq!(number(&mut page, SEEN), 0, "{about}");
            }
            page.media("print", "dark").unwrap();
            assert_eq!(number(&mut page, SEEN), sample.inspection.findings.len(), "{about}");
            let evidence = "Array.from(document.querySelectorAll('pre')).filter((one) => !one.checkVisibility({contentVisibilityAuto: true}) || one.scrollHeight > one.clientHeight + 1).length";
            assert_eq!(number(&mut page, evidence), 0, "{about}: evidence is hidden or cut");
            nothing(&mut page, OUTSIDE, &about);
            let ground = page.evaluate("getComputedStyle(document.body).backgroundColor").unwrap();
            assert_eq!(ground, "rgb(255, 255, 255)", "{about}");
            if scripts {
                let pdf = look.keep(&format!("{}.pdf", name(&path)), &page.pdf().unwrap());
                assert!(pdf.starts_with(b"%PDF-"));
            }
        }
    }
}

fn filter(page: &mut Page<'_>, words: &str) {
    let words = Value::from(words);
    let script = format!(
        "new Promise((done) => {{ const box = document.getElementById('filter'); box.value = {words}; \
         box.dispatchEvent(new Event('input')); setTimeout(done, 400); }})"
    );
    page.evaluate(&script).unwrap();
}

#[test]
fn the_filter_shows_what_matches_and_puts_the_page_back() {
    let Some(mut browser) = browser("filtering") else { return };
    let look = Look::new();
    let sample = samples::bad_night();
    let path = look.write(&sample, Language::English);
    let mut page = browser.page(1280, 900).unwrap();
    page.open(&path).unwrap();
    let before = number(&mut page, SEEN);
    let open = "document.querySelectorAll('details[open]').length";
    let open_before = number(&mut page, open);
    filter(&mut page, "thp kafka-1");
    let matches = number(&mut page, "Number(document.querySelector('#matches b').textContent)");
    assert_eq!((matches, number(&mut page, SEEN)), (2, 2), "kafka-10 and kafka-12");
    filter(&mut page, "");
    assert_eq!((number(&mut page, SEEN), number(&mut page, open)), (before, open_before));
}

#[test]
fn dark_and_light_follow_the_reader() {
    let Some(mut browser) = browser("dark and light") else { return };
    let look = Look::new();
    let path = look.write(&samples::bad_night(), Language::English);
    let mut page = browser.page(1280, 900).unwrap();
    page.open(&path).unwrap();
    let light = "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number); return r + g + b; })()";
    page.media("screen", "dark").unwrap();
    let dark = number(&mut page, light);
    look.keep("bad-night-1280-dark.png", &page.screenshot().unwrap());
    page.media("screen", "light").unwrap();
    let bright = number(&mut page, light);
    assert!(dark < 150 && bright > 650, "{dark}, {bright}");
}

#[test]
fn five_thousand_findings_are_all_there_and_begin_folded() {
    let Some(mut browser) = browser("a large page") else { return };
    let look = Look::new();
    let sample = samples::huge(5_000);
    let path = look.write(&sample, Language::English);
    let mut page = browser.page(1280, 900).unwrap();
    page.open(&path).unwrap();
    assert!(number(&mut page, SEEN) < 100, "a large page begins with its findings open");
    assert!(number(&mut page, "document.documentElement.scrollHeight") < 12_000);
    filter(&mut page, "broker-007 disk.space");
    assert_eq!(number(&mut page, "Number(document.querySelector('#matches b').textContent)"), 2);
    filter(&mut page, "");
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true").unwrap();
    assert_eq!(number(&mut page, SEEN), 5_000);
}
