//! Lines of logs for people.

use super::Found;
use crate::report::{self, table};
use jiff::Timestamp;
use kfleet_logs::merge::Merged;
use kfleet_logs::signature::SignatureId;
use kfleet_logs::template::Unknown;
use kfleet_logs::{SIGNATURES, Seen, Severity, explain};
use kfleet_model::HostName;
use std::collections::{BTreeMap, BTreeSet};

/// So many unknown errors are shown.
const UNKNOWN: usize = 10;

/// The lines, each with its time by this machine's clock, its host and its log.
pub(super) fn grep(found: &Found) -> String {
    let mut text = String::new();
    for merged in &found.lines {
        line(&mut text, merged);
    }
    text.push_str(&faults(found));
    text.push_str(&match found.lines.len() {
        1 => "1 line".to_owned(),
        many => format!("{many} lines"),
    });
    text.push_str(&format!(" on {} hosts\n", found.answers.len()));
    text
}

/// The lines with what they mean, then what was seen in all, and what nobody knows.
pub(super) fn timeline(found: &Found) -> String {
    let causes = causes(&found.lines);
    let mut text = String::new();
    for merged in &found.lines {
        line(&mut text, merged);
        for id in &merged.line.signatures {
            let meaning = SIGNATURES.find(id).map_or("not known to this version", |known| known.meaning.as_str());
            text.push_str(&format!("    {id}: {}\n", report::safe(meaning)));
        }
    }
    let seen = seen(&found.lines);
    if !seen.is_empty() {
        text.push('\n');
        text.push_str(&summary(&seen, &causes, &found.lines));
    }
    text.push_str(&unknown(found));
    text.push_str(&faults(found));
    text.push_str(&format!("{} lines on {} hosts\n", found.lines.len(), found.answers.len()));
    text
}

/// Which signature explains which, over all hosts.
pub(super) fn causes(lines: &[Merged]) -> BTreeMap<SignatureId, SignatureId> {
    explain(&SIGNATURES, &seen(lines))
}

fn line(text: &mut String, Merged { at, host, line }: &Merged) {
    let source = line.source.rsplit('/').next().unwrap_or(&line.source);
    text.push_str(&format!("{}  {host}  {source}  {}\n", moment(*at), report::safe(&line.text)));
    for more in &line.more {
        text.push_str(&format!("    {}\n", report::safe(more)));
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%3fZ").to_string()
}

/// What was seen, by signature; severity is that of the worst line, since counts are for a night and not for a stretch.
fn seen(lines: &[Merged]) -> Vec<Seen> {
    let mut all: BTreeMap<&SignatureId, Seen> = BTreeMap::new();
    for Merged { at, line, .. } in lines {
        for id in &line.signatures {
            let known = SIGNATURES.find(id);
            let one = all.entry(id).or_insert_with(|| Seen {
                id: id.clone(),
                count: 0,
                first: Some(*at),
                last: None,
                over: None,
                captures: Vec::new(),
                sample: line.text.clone(),
                severity: known.map_or(Severity::Info, |known| known.severity),
                volatile: known.is_some_and(|known| known.volatile),
            });
            one.count += 1;
            one.last = Some(*at);
            // Of several signatures of one line it is not known whose severity it is.
            if let ([_], Some(severity)) = (line.signatures.as_slice(), line.severity) {
                one.severity = one.severity.max(severity);
            }
        }
    }
    let mut all: Vec<Seen> = all.into_values().collect();
    all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.first.cmp(&b.first)).then_with(|| a.id.cmp(&b.id)));
    all
}

fn summary(seen: &[Seen], causes: &BTreeMap<SignatureId, SignatureId>, lines: &[Merged]) -> String {
    let hosts = |id: &SignatureId| {
        let with = lines.iter().filter(|merged| merged.line.signatures.contains(id));
        with.map(|merged| &merged.host).collect::<BTreeSet<&HostName>>().len().to_string()
    };
    let row = |one: &Seen| {
        let todo = match causes.get(&one.id) {
            Some(cause) => format!("see {cause}, which explains it"),
            None => SIGNATURES.find(&one.id).map(|known| report::safe(&known.advice)).unwrap_or_default(),
        };
        let severity = one.severity.word().to_owned();
        vec![one.id.to_string(), severity, one.count.to_string(), hosts(&one.id), todo]
    };
    table::render(&["signature", "severity", "lines", "hosts", "what to do"], &seen.iter().map(row).collect::<Vec<_>>())
}

fn unknown(found: &Found) -> String {
    let mut all: BTreeMap<&str, (u64, BTreeSet<&HostName>)> = BTreeMap::new();
    for (host, answer) in &found.answers {
        for Unknown { template, count, .. } in &answer.unknown {
            let (sum, hosts) = all.entry(template).or_default();
            *sum += count;
            hosts.insert(host);
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|(a, (many, _)), (b, (more, _))| more.cmp(many).then_with(|| a.cmp(b)));
    let shown = all.iter().take(UNKNOWN).map(|(template, (count, hosts))| {
        format!("unknown error, {count} times on {} hosts: {}\n", hosts.len(), report::safe(template))
    });
    let text: String = shown.collect();
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Everything that may be missing, and why.
fn faults(found: &Found) -> String {
    let mut text = String::new();
    for (host, why) in &found.silent {
        text.push_str(&format!("{host}: unreachable: {}\n", report::safe(why)));
    }
    for (host, why) in &found.failed {
        text.push_str(&format!("{host}: {}\n", report::safe(why)));
    }
    for (host, log, why) in found.unread() {
        text.push_str(&format!("{host}: not read: {log}: {}\n", report::safe(why)));
    }
    for (host, answer) in &found.answers {
        for what in answer.told.iter().chain(&answer.cut) {
            text.push_str(&format!("{host}: {}\n", report::safe(what)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_logs::{Level, LogAnswer, LogLine};

    fn merged(host: &str, second: i64, id: &str, text: &str) -> Merged {
        let at = Timestamp::from_second(1_767_323_045 + second).unwrap();
        let line = LogLine {
            at,
            source: "/var/log/kafka/server.log".into(),
            level: Some(Level::Error),
            text: text.into(),
            more: vec!["java.io.IOException: \u{1b}[31m".into()],
            signatures: if id.is_empty() { Vec::new() } else { vec![SignatureId::new(id)] },
            severity: None,
        };
        Merged { at, host: HostName::new(host).unwrap(), line }
    }

    fn found() -> Found {
        let lines = vec![
            merged("k1", 0, "KRN-IO", "I/O error, dev sdb"),
            merged("k1", 1, "K-IO-APPEND", "Error while appending"),
            merged("k2", 9, "", "strange"),
        ];
        let unknown = Unknown { template: "strange".into(), count: 1, example: String::new(), first: None, last: None };
        let sources = BTreeMap::from([("kernel".to_owned(), "no access".to_owned())]);
        let answer = LogAnswer { unknown: vec![unknown], sources, cut: Some("more".into()), ..LogAnswer::default() };
        let answers = BTreeMap::from([(HostName::new("k2").unwrap(), answer)]);
        let silent = BTreeMap::from([(HostName::new("k3").unwrap(), "no answer".to_owned())]);
        Found { lines, answers, silent, failed: BTreeMap::new() }
    }

    #[test]
    fn a_timeline_tells_what_it_means_what_explains_it_and_what_is_missing() {
        let expected = "\
2026-01-02 03:04:05.000Z  k1  server.log  I/O error, dev sdb
    java.io.IOException: \\u{1b}[31m
    KRN-IO: device error
2026-01-02 03:04:06.000Z  k1  server.log  Error while appending
    java.io.IOException: \\u{1b}[31m
    K-IO-APPEND: write failed, dir goes offline
2026-01-02 03:04:14.000Z  k2  server.log  strange
    java.io.IOException: \\u{1b}[31m

signature    severity  lines  hosts  what to do
KRN-IO       crit      1      1      disk.errors
K-IO-APPEND  crit      1      1      see KRN-IO, which explains it

unknown error, 1 times on 1 hosts: strange
k3: unreachable: no answer
k2: not read: kernel: no access
k2: more
3 lines on 1 hosts
";
        assert_eq!(timeline(&found()), expected);
    }

    #[test]
    fn a_search_shows_the_lines_alone() {
        let text = grep(&found());
        assert!(text.starts_with("2026-01-02 03:04:05.000Z  k1  server.log  I/O error, dev sdb\n"), "{text}");
        assert!(text.ends_with("k2: more\n3 lines on 1 hosts\n") && !text.contains("device error"), "{text}");
    }
}
