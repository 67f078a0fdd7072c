//! One line a finding, for spreadsheets: [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180).
//!
//! It begins with a byte order mark, because spreadsheet programs take a file without one for text in the machine's old
//! code page and break every Chinese character. Cells that such a program would calculate begin with an apostrophe
//! ([OWASP, CSV injection](https://owasp.org/www-community/attacks/CSV_Injection)).

use super::words::visible;
use super::{Options, Pages, RenderError, texts};
use kfleet_inspect::finding::{Change, Shown};
use kfleet_inspect::{Cleared, Finding, Object};

const MARK: char = '\u{feff}';

/// The columns; a table that is read by programs only grows at its end.
const COLUMNS: [&str; 30] = [
    "fleet",
    "judged_at",
    "check",
    "area",
    "owner_kind",
    "owner",
    "part_kind",
    "part",
    "state",
    "judged",
    "change",
    "since",
    "value",
    "unit",
    "reading",
    "limit",
    "set_by",
    "note",
    "cause",
    "explains",
    "waiver",
    "window",
    "acknowledged",
    "title_en",
    "title_zh",
    "advice_en",
    "advice_zh",
    "fix",
    "source",
    "evidence",
];

pub(super) fn render(pages: &Pages<'_>, _options: &Options) -> Result<String, RenderError> {
    let mut out = String::from(MARK);
    line(&mut out, &COLUMNS.map(str::to_owned));
    let run = [pages.inspection.fleet.to_string(), pages.inspection.run.judged_at.to_string()];
    for finding in &pages.inspection.findings {
        line(&mut out, &cells(&run, finding));
    }
    for cleared in &pages.inspection.cleared {
        line(&mut out, &cleared_cells(&run, cleared));
    }
    Ok(out)
}

fn cells(run: &[String; 2], finding: &Finding) -> [String; 30] {
    let [fleet, judged_at] = run.clone();
    let [owner_kind, owner, part_kind, part] = object(&finding.object);
    let (value, unit) = match &finding.reading {
        Some(Shown::Number(number)) => (number.value.to_string(), number.unit.symbol().to_owned()),
        Some(Shown::Text(_) | Shown::List(_)) | None => Default::default(),
    };
    let fired = finding.threshold.as_ref();
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        fleet,
        judged_at,
        finding.check.to_string(),
        finding.check.area().to_owned(),
        owner_kind,
        owner,
        part_kind,
        part,
        finding.state.name().to_owned(),
        finding.judged.name().to_owned(),
        change(finding.change),
        finding.since.to_string(),
        value,
        unit,
        finding.reading.as_ref().map(ToString::to_string).unwrap_or_default(),
        fired.map(|fired| fired.condition.clone()).unwrap_or_default(),
        fired.map(|fired| fired.layer.to_string()).unwrap_or_default(),
        or_nothing(&finding.note),
        finding.cause.as_ref().map(ToString::to_string).unwrap_or_default(),
        finding.explains.to_string(),
        or_nothing(&finding.waiver),
        or_nothing(&finding.window),
        or_nothing(&finding.acknowledged),
        finding.title.en.clone(),
        finding.title.zh.clone(),
        finding.advice.en.clone(),
        finding.advice.zh.clone(),
        or_nothing(&finding.fix),
        or_nothing(&finding.source),
        // The only line ends in a cell are these, so that a cell is read as it was written.
        finding.evidence.iter().map(|line| visible(line)).collect::<Vec<_>>().join("\n"),
    ]
}

fn cleared_cells(run: &[String; 2], cleared: &Cleared) -> [String; 30] {
    let mut cells: [String; 30] = Default::default();
    let [owner_kind, owner, part_kind, part] = object(&cleared.object);
    for (column, value) in [
        ("fleet", run[0].clone()),
        ("judged_at", run[1].clone()),
        ("check", cleared.check.to_string()),
        ("area", cleared.check.area().to_owned()),
        ("owner_kind", owner_kind),
        ("owner", owner),
        ("part_kind", part_kind),
        ("part", part),
        ("state", "ok".to_owned()),
        ("judged", cleared.was.name().to_owned()),
        ("change", change(cleared.change)),
        ("since", cleared.since.to_string()),
        ("title_en", cleared.title.en.clone()),
        ("title_zh", cleared.title.zh.clone()),
    ] {
        if let Some(at) = COLUMNS.iter().position(|known| *known == column) {
            cells[at] = value;
        }
    }
    cells
}

fn change(change: Change) -> String {
    texts::change(change).name().to_lowercase()
}

fn object(object: &Object) -> [String; 4] {
    let (kind, owner) = match &object.owner {
        kfleet_inspect::Owner::Fleet => ("fleet", String::new()),
        kfleet_inspect::Owner::Host(host) => ("host", host.to_string()),
        kfleet_inspect::Owner::Cluster(cluster) => ("cluster", cluster.to_string()),
    };
    let part = object.part.as_ref();
    [
        kind.to_owned(),
        owner,
        part.map(|part| part.kind.word().to_owned()).unwrap_or_default(),
        part.map(|part| part.name.clone()).unwrap_or_default(),
    ]
}

fn line(out: &mut String, cells: &[String]) {
    for (n, cell) in cells.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let cell = safe(cell);
        if cell.contains([',', '"', '\n', '\r']) {
            out.extend(["\"", &cell.replace('"', "\"\""), "\""]);
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

/// A cell that no spreadsheet calculates. A plain number may begin with a sign: it is what it looks like.
fn safe(cell: &str) -> String {
    let text = cell.split('\n').map(visible).collect::<Vec<_>>().join("\n");
    let calculated =
        text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if calculated && text.parse::<f64>().is_err() { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inspection::samples;

    /// Reads what RFC 4180 allows and nothing else.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut chars) = (Vec::new(), Vec::new(), String::new(), text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    assert!(cell.is_empty(), "a quote inside a plain cell");
                    loop {
                        match chars.next().unwrap() {
                            '"' if chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
                            '"' => break,
                            c => cell.push(c),
                        }
                    }
                    assert!(matches!(chars.peek(), Some(',' | '\r')), "something behind a quoted cell");
                }
                ',' => row.push(std::mem::take(&mut cell)),
                '\r' => {
                    assert_eq!(chars.next(), Some('\n'));
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                '\n' => panic!("a bare line feed"),
                c => cell.push(c),
            }
        }
        assert!(cell.is_empty() && row.is_empty(), "the last line has no end");
        rows
    }

    #[test]
    fn every_finding_is_a_line_of_thirty_cells_and_no_cell_is_calculated() {
        for sample in samples::all() {
            let text = render(&sample.pages(), &Options::default()).unwrap();
            let rows = read(text.strip_prefix(MARK).unwrap());
            assert_eq!(rows.len(), 1 + sample.inspection.findings.len() + sample.inspection.cleared.len());
            for (row, finding) in rows[1..].iter().zip(&sample.inspection.findings) {
                assert_eq!(row.len(), COLUMNS.len());
                assert_eq!((&row[2], &row[8]), (&finding.check.to_string(), &finding.state.name().to_owned()));
                for cell in row {
                    assert!(!cell.starts_with(['=', '+', '@']) || cell.parse::<f64>().is_ok(), "{cell}");
                    assert!(!cell.contains(['\u{1b}', '\u{202e}', '\0', '\r']), "{cell:?}");
                }
            }
        }
    }

    #[test]
    fn cells_are_quoted_and_guarded() {
        for (cell, wanted) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-1.5", "-1.5"),
            ("-1 ms", "'-1 ms"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\t=1"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("严重", "严重"),
            ("", ""),
        ] {
            let mut out = String::new();
            line(&mut out, &[cell.to_owned()]);
            assert_eq!(out, format!("{wanted}\r\n"));
        }
    }
}
