//! `kfleet config history` and `kfleet config diff`.

use super::super::agents::Which;
use super::{Answers, Outcome, moment, owner, versions};
use crate::fleet::Fleet;
use crate::history::Store;
use crate::report;
use kfleet_model::version::{Author, FileContent, FileHistory, FileReport, FileVersion, Shown};
use kfleet_model::{HostName, Map, RunId};
use std::collections::BTreeMap;

/// Arguments of `kfleet config history`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Only this file; may be repeated
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `kfleet config diff`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DiffArgs {
    #[command(flatten)]
    args: Args,
    /// The older version
    #[arg(long, value_name = "VERSION", requires = "path", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// The newer version; what is on disk by default
    #[arg(long, value_name = "VERSION", requires = "path", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
}

/// Who started the runs that are shown.
type Owners = BTreeMap<RunId, String>;

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let answers = versions(fleet, Which::of(&args.pattern), Map::new(), &args.path).await?;
    let owners = owners(fleet, &answers).await?;
    if args.json {
        report::print(&format!("{:#}\n", json(&answers, &owners)));
    } else {
        report::print(&histories(&answers, &owners));
    }
    Ok(answers.exit())
}

pub(super) async fn diff(fleet: &Fleet, args: &DiffArgs) -> Outcome {
    let mut params = Map::from_iter([("diff".to_owned(), true.into())]);
    for (name, number) in [("from", args.from), ("to", args.to)] {
        params.extend(number.map(|number| (name.to_owned(), number.into())));
    }
    let answers = versions(fleet, Which::of(&args.args.pattern), params, &args.args.path).await?;
    if args.args.json {
        report::print(&format!("{:#}\n", json(&answers, &owners(fleet, &answers).await?)));
    } else {
        report::print(&differences(&answers));
    }
    Ok(answers.exit())
}

async fn owners(fleet: &Fleet, answers: &Answers<Vec<FileReport>>) -> Result<Owners, super::CliError> {
    let store = Store::open(&fleet.database()).await?;
    let mut owners = Owners::new();
    let versions = answers.good.values().flatten().flat_map(|report| &report.history.versions);
    for run in versions.filter_map(|version| version.author.run()) {
        if !owners.contains_key(run) {
            let owner = owner(&store, run).await?;
            owners.insert(run.clone(), owner.unwrap_or_else(|| "another controller".to_owned()));
        }
    }
    Ok(owners)
}

fn json(answers: &Answers<Vec<FileReport>>, owners: &Owners) -> serde_json::Value {
    serde_json::json!({"hosts": answers.good, "owners": owners, "unreachable": answers.silent, "failed": answers.failed})
}

/// Hosts whose file has the same past, so that a fleet of equals is one table.
fn alike<'a, K: Ord>(
    answers: &'a Answers<Vec<FileReport>>,
    key: impl Fn(&'a FileReport) -> K,
) -> BTreeMap<K, Vec<(&'a HostName, &'a FileReport)>> {
    let mut groups: BTreeMap<K, Vec<(&HostName, &FileReport)>> = BTreeMap::new();
    for (host, reports) in &answers.good {
        for report in reports {
            groups.entry(key(report)).or_default().push((host, report));
        }
    }
    groups
}

fn heading(group: &[(&HostName, &FileReport)]) -> String {
    let hosts: Vec<&str> = group.iter().map(|(host, _)| host.as_str()).collect();
    let path = group.first().map(|(_, report)| report.history.path.display().to_string()).unwrap_or_default();
    format!("{} on {}\n", report::safe(&path), hosts.join(", "))
}

fn histories(answers: &Answers<Vec<FileReport>>, owners: &Owners) -> String {
    // Times differ by moments from host to host; what matters is who wrote what.
    let past = |report: &FileReport| {
        let history = &report.history;
        let version = |version: &FileVersion| {
            (version.number, version.author.run().map(ToString::to_string), told(&version.content))
        };
        let versions: Vec<_> = history.versions.iter().map(version).collect();
        (history.path.clone(), versions, told(&history.now))
    };
    let mut text = String::new();
    for group in alike(answers, past).values() {
        text.push_str(&heading(group));
        if let Some((_, first)) = group.first() {
            text.push_str(&table(&first.history, owners));
        }
        text.push('\n');
    }
    if text.is_empty() && answers.exit() == crate::cli::exit::Exit::Ok {
        text.push_str("kfleet manages no such file on these hosts\n");
    }
    text + &answers.faults()
}

fn table(history: &FileHistory, owners: &Owners) -> String {
    let current = history.current().map(|version| version.number);
    let mut rows: Vec<Vec<String>> = history.versions.iter().map(|version| row(version, current, owners)).collect();
    if current.is_none() {
        let since = history.now_unix_ms.map(moment).unwrap_or_default();
        rows.push(vec!["  now".to_owned(), since, "somebody else".to_owned(), String::new(), told(&history.now)]);
    }
    report::table::render(&["  version", "since", "by", "run", "content"], &rows)
}

fn row(version: &FileVersion, current: Option<u64>, owners: &Owners) -> Vec<String> {
    let mark = if current == Some(version.number) { " (now)" } else { "" };
    let (by, run) = match &version.author {
        Author::Op { run_id, module, .. } => {
            (owners.get(run_id).cloned().unwrap_or_default(), format!("{run_id} {module}"))
        }
        Author::Outside => ("somebody else".to_owned(), String::new()),
    };
    vec![format!("  {}{mark}", version.number), moment(version.unix_ms), by, run, told(&version.content)]
}

/// A content in a few words.
fn told(content: &FileContent) -> String {
    match content {
        FileContent::Absent => "no file".to_owned(),
        FileContent::Kept { sha256, bytes, .. } => {
            format!("{bytes} bytes, sha256 {}", sha256.get(..12).unwrap_or(sha256))
        }
        FileContent::TooLarge { bytes } => format!("{bytes} bytes, too large to be kept"),
        FileContent::NoFile => "not a file".to_owned(),
    }
}

fn differences(answers: &Answers<Vec<FileReport>>) -> String {
    let key = |report: &FileReport| {
        let shown =
            report.difference.as_ref().map(|difference| (difference.from, difference.to, words(&difference.shown)));
        (report.history.path.clone(), shown)
    };
    let mut text = String::new();
    for ((_, shown), group) in alike(answers, key) {
        text.push_str(&heading(&group));
        match shown {
            Some((from, to, words)) => {
                let to = to.map_or("what is on disk".to_owned(), |to| format!("version {to}"));
                text.push_str(&format!("from version {from} to {to}:\n{words}\n"));
            }
            None => text.push_str("there is only one version\n\n"),
        }
    }
    text + &answers.faults()
}

fn words(shown: &Shown) -> String {
    match shown {
        Shown::Text(text) => report::safe(text),
        Shown::Same => "no difference\n".to_owned(),
        Shown::OnlySecrets => "only values of secret keys differ\n".to_owned(),
        Shown::Hidden => "they differ; a task with no_log wrote them, so the text is not shown\n".to_owned(),
        Shown::NoText => "they differ; they are not text, or too large to be shown\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::OpId;
    use kfleet_model::version::Difference;

    fn kept(sha256: &str) -> FileContent {
        FileContent::Kept { sha256: sha256.repeat(12), bytes: 9, mode: 0o644, uid: 0, gid: 0 }
    }

    fn report(late_ms: i64, now: &str) -> FileReport {
        let run = Author::Op {
            run_id: RunId::new("20261127-010203-abcd").unwrap(),
            op_id: OpId::new("op").unwrap(),
            module: "template".into(),
        };
        let version = |number, unix_ms, author: &Author, content| FileVersion {
            number,
            unix_ms,
            author: author.clone(),
            content,
            secret: false,
        };
        FileReport {
            history: FileHistory {
                path: "/etc/kafka/server.properties".into(),
                versions: vec![
                    version(1, 1_795_741_323_000, &Author::Outside, FileContent::Absent),
                    version(2, 1_795_741_323_000 + late_ms, &run, kept("a")),
                ],
                now: kept(now),
                now_unix_ms: Some(1_795_744_923_000),
            },
            difference: Some(Difference { from: 1, to: None, shown: Shown::Text("+a=1\n".to_owned()) }),
        }
    }

    fn answers(reports: &[(&str, FileReport)]) -> Answers<Vec<FileReport>> {
        let good = reports.iter().map(|(host, report)| (HostName::new(*host).unwrap(), vec![report.clone()]));
        let silent = BTreeMap::from([(HostName::new("k4").unwrap(), "no answer".to_owned())]);
        Answers { good: good.collect(), silent, failed: BTreeMap::new() }
    }

    #[test]
    fn hosts_with_the_same_past_are_one_table_and_a_change_by_hand_is_told() {
        let answers = answers(&[("k1", report(0, "a")), ("k2", report(7, "a")), ("k3", report(0, "b"))]);
        let owners = Owners::from([(RunId::new("20261127-010203-abcd").unwrap(), "eve@ops".to_owned())]);
        let expected = "\
/etc/kafka/server.properties on k1, k2
  version  since                    by             run                            content
  1        2026-11-27 01:02:03 UTC  somebody else                                 no file
  2 (now)  2026-11-27 01:02:03 UTC  eve@ops        20261127-010203-abcd template  9 bytes, sha256 aaaaaaaaaaaa

/etc/kafka/server.properties on k3
  version  since                    by             run                            content
  1        2026-11-27 01:02:03 UTC  somebody else                                 no file
  2        2026-11-27 01:02:03 UTC  eve@ops        20261127-010203-abcd template  9 bytes, sha256 aaaaaaaaaaaa
  now      2026-11-27 02:02:03 UTC  somebody else                                 9 bytes, sha256 bbbbbbbbbbbb

k4: unreachable: no answer
";
        assert_eq!(histories(&answers, &owners), expected);
    }

    #[test]
    fn equal_differences_are_shown_once() {
        let answers = answers(&[("k1", report(0, "a")), ("k2", report(7, "a"))]);
        let expected = "\
/etc/kafka/server.properties on k1, k2
from version 1 to what is on disk:
+a=1

k4: unreachable: no answer
";
        assert_eq!(differences(&answers), expected);
    }
}
