//! Judgements as findings: what people have said of them, what they were last night, and what to do.

use super::raw::Raw;
use super::scene::Index;
use super::{Judged, Night, tracks};
use crate::catalogue::Check;
use crate::finding::{Change, Cleared, Finding, State, Subject, WaiverNotice};
use crate::memory::{Memory, Track};
use crate::object::{Object, Owner};
use kfleet_model::ClusterName;
use std::collections::BTreeMap;

/// Everything that is not ok.
pub(super) fn findings(index: &Index<'_>, judged: &Judged<'_>, memory: &Memory) -> Vec<Finding> {
    let bad = judged.iter().filter(|(_, raw)| !matches!(raw.state, State::Ok | State::Skip));
    bad.map(|(check, raw)| finding(index, check, raw, memory)).collect()
}

fn finding(index: &Index<'_>, check: &Check, raw: &Raw, memory: &Memory) -> Finding {
    let night = index.night;
    let name = Subject { check: check.id.clone(), object: raw.object.clone() }.to_string();
    let before = night.last.and_then(|last| last.memory.tracks.get(&name));
    let track = memory.tracks.get(&name);
    let window = excused(night, check, raw);
    let waiver = waived(night, check, raw);
    let state = match (&window, &waiver) {
        (_, _) if !raw.state.counts() => raw.state,
        (Some(_), _) => State::Expected,
        (None, Some(_)) => State::Waived,
        (None, None) => raw.state,
    };
    Finding {
        check: check.id.clone(),
        object: raw.object.clone(),
        state,
        judged: raw.state,
        reading: raw.shown.clone(),
        threshold: raw.fired.clone(),
        note: raw.note.clone(),
        evidence: raw.evidence.clone(),
        source: raw.source.clone(),
        confidence: raw.confidence,
        since: track.and_then(|track| track.since).unwrap_or(night.now),
        change: change(before, raw.state),
        recovering: raw.held,
        unstable: track.filter(|track| track.unstable).and_then(|track| tracks::changes(&track.states)),
        cause: None,
        explains: 0,
        waiver,
        window,
        acknowledged: acknowledged(night, check, raw),
        title: check.title.clone(),
        why: check.why.clone(),
        advice: check.advice.clone(),
        fix: check.fix.as_ref().and_then(|fix| command(index, fix, &raw.object)),
    }
}

/// Against the last time that the subject was judged.
fn change(before: Option<&Track>, now: State) -> Change {
    let last = before.map_or(State::Ok, Track::last);
    match now.cmp(&last) {
        _ if matches!(last, State::Ok | State::Skip) => Change::New,
        std::cmp::Ordering::Greater => Change::Worse,
        std::cmp::Ordering::Equal => Change::Unchanged,
        std::cmp::Ordering::Less => Change::Better,
    }
}

fn excused(night: &Night<'_>, check: &Check, raw: &Raw) -> Option<String> {
    if !raw.state.counts() || !raw.excusable {
        return None;
    }
    let before = night.last.map(|last| last.run.judged_at);
    let window = night.windows.iter().find(|window| window.explains(check, &raw.object, before, night.now))?;
    Some(format!("{} ({} to {})", window.reason, window.from, window.until))
}

fn waived(night: &Night<'_>, check: &Check, raw: &Raw) -> Option<String> {
    if !raw.state.counts() {
        return None;
    }
    let object = raw.object.to_string();
    let waiver = night.waivers.iter().find(|one| one.holds(night.now) && one.covers(check.id.as_str(), &object))?;
    Some(format!("{} until {}: {}", waiver.owner, waiver.expires, waiver.reason))
}

fn acknowledged(night: &Night<'_>, check: &Check, raw: &Raw) -> Option<String> {
    let of = night.acknowledgements.iter().find(|one| one.check == check.id.as_str() && one.object == raw.object);
    of.filter(|one| raw.state <= one.state).map(|one| one.owner.clone())
}

/// A command for an object; none when it names something that the object has not.
fn command(index: &Index<'_>, fix: &str, object: &Object) -> Option<String> {
    let shelf = index.shelves.get(&object.owner);
    let of_host = shelf.and_then(|shelf| shelf.host).and_then(|host| host.clusters.first());
    let cluster: Option<&ClusterName> = object.owner.cluster().or(of_host);
    let part = object.part.as_ref().map(|part| part.name.clone());
    let names: [(&str, Option<String>); 3] = [
        ("{host}", object.owner.host().map(ToString::to_string)),
        ("{cluster}", cluster.map(ToString::to_string)),
        ("{part}", part),
    ];
    let mut text = fix.to_owned();
    for (name, value) in names {
        if text.contains(name) {
            text = text.replace(name, &value?);
        }
    }
    Some(text)
}

/// Findings of the last inspection that are none tonight.
pub(super) fn cleared(night: &Night<'_>, judged: &Judged<'_>) -> Vec<Cleared> {
    let Some(last) = night.last else { return Vec::new() };
    let tonight: BTreeMap<(&str, &Object), State> =
        judged.iter().map(|(check, raw)| ((check.id.as_str(), &raw.object), raw.state)).collect();
    let gone = last.findings.iter().filter_map(|finding| {
        let change = match tonight.get(&(finding.check.as_str(), &finding.object)) {
            Some(State::Ok) => Change::Fixed,
            Some(State::Skip) => Change::Gone,
            Some(_) => return None,
            None => absent(&finding.object, |host| night.readings.missing.iter().any(|one| one.host == *host)),
        };
        Some(Cleared {
            check: finding.check.clone(),
            object: finding.object.clone(),
            was: finding.judged,
            change,
            since: finding.since,
            title: finding.title.clone(),
        })
    });
    gone.collect()
}

/// What became of a thing that nobody judged: unseen when its host gave nothing, gone otherwise.
pub(crate) fn absent(object: &Object, is_missing: impl Fn(&kfleet_model::HostName) -> bool) -> Change {
    match &object.owner {
        Owner::Host(host) if is_missing(host) => Change::Unseen,
        Owner::Host(_) | Owner::Cluster(_) | Owner::Fleet => Change::Gone,
    }
}

/// What there is to say of waivers.
pub(super) fn notices(night: &Night<'_>, judged: &Judged<'_>) -> Vec<WaiverNotice> {
    let counts: Vec<(&str, String)> = judged
        .iter()
        .filter(|(_, raw)| raw.state.counts())
        .map(|(check, raw)| (check.id.as_str(), raw.object.to_string()))
        .collect();
    let notice = |waiver: &crate::waiver::Waiver| {
        let used = counts.iter().any(|(check, object)| waiver.covers(check, object));
        waiver.notice(used, night.now)
    };
    night.waivers.iter().filter_map(notice).collect()
}
