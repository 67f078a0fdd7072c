//! What was read of a host, held against what it shall be: items for people, and what has to be written.
//!
//! A value that satisfies its rule is never changed, live or persisted, and a default of the kernel that does is not written
//! down. Of several values that would do, that is set which
//! is persisted already, else that which is live, else the rule's own. Where a file of somebody else wins over kfleet's, the
//! item is refused and named, and neither side is written.

use crate::Wanted;
use crate::item::{Fit, Item, Status};
use crate::kernel;
use crate::persist::{ConfFile, Keep, Store, fstab, sysctl, tmpfiles, unit};
use crate::spec::{Bar, Knob, Spec, Watched};
use std::collections::BTreeMap;

/// What reading a knob gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it shows; none when it is not there or can not be read.
    pub text: Option<String>,
    /// Why it can not be written, or read; none when it can.
    pub fixed: Option<String>,
}

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// The knobs of all items.
    pub knobs: BTreeMap<Knob, Reading>,
    /// Rows of the service's `/proc/PID/limits`; empty when it does not run.
    pub process: BTreeMap<String, String>,
    /// How long systemd waits for a stop of the service, in seconds.
    pub stop_timeout: Option<String>,
    /// systemd has to read the service's unit again.
    pub stale: bool,
    /// The service's unit.
    pub unit: Option<String>,
    /// Files of `sysctl.d`, in order.
    pub sysctl: Vec<ConfFile>,
    /// Files of `tmpfiles.d`, in order; none when no systemd takes them.
    pub tmpfiles: Option<Vec<ConfFile>>,
    /// The unit's own file and its drop-ins, in order.
    pub units: Vec<ConfFile>,
    /// `/etc/fstab`.
    pub fstab: Option<String>,
    /// The kernel's command line.
    pub cmdline: String,
}

/// A knob that has to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnobPlan {
    /// The item.
    pub item: String,
    /// The knob.
    pub knob: Knob,
    /// What it shows now.
    pub shown: String,
    /// What it is set to.
    pub to: String,
}

/// A file that has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Its path.
    pub path: String,
    /// The whole of it; none when it goes.
    pub content: Option<String>,
    /// Lines of kfleet's own that another file has made needless.
    pub dropped: Vec<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// All items, in the rules' order.
    pub items: Vec<Item>,
    /// What has to be set now.
    pub knobs: Vec<KnobPlan>,
    /// What has to be written for the next boot.
    pub files: Vec<FilePlan>,
    /// systemd has to read the service's unit again.
    pub reload: bool,
}

/// Judges a host.
#[must_use]
pub fn judge(specs: &[Spec], readings: &Readings) -> Judged {
    let mut bench = Bench::new(readings);
    let items = specs.iter().map(|spec| bench.item(spec)).collect();
    bench.finish(items)
}

/// The live side of an item.
struct Live {
    now: Option<String>,
    fit: Fit,
    /// Of the first knob that does not fit, or of the first.
    shown: Option<String>,
    /// Those that do not fit, and what they show.
    unfit: Vec<(Knob, String)>,
    reason: Option<String>,
}

/// The persisted side.
struct Kept {
    value: Option<String>,
    fit: Fit,
    by: Option<String>,
    reason: Option<String>,
}

impl Kept {
    fn by_default(spec: &Spec) -> Self {
        let value = spec.rule.default.map(str::to_owned);
        Self { value, fit: Fit::Fits, by: Some("the kernel's default".to_owned()), reason: None }
    }

    fn nowhere(reason: &str) -> Self {
        Self { value: None, fit: Fit::NotHere, by: None, reason: Some(reason.to_owned()) }
    }
}

/// What the kernel sets by itself satisfies.
fn boots_right(spec: &Spec) -> bool {
    spec.rule.default.is_some_and(|default| spec.wanted.fits(default))
}

/// A kind of files and what kfleet's own shall hold at the end.
struct Shelf<'a> {
    store: Store<'a>,
    settings: BTreeMap<String, String>,
}

impl<'a> Shelf<'a> {
    fn new(store: Store<'a>) -> Self {
        let settings = store.own().unwrap_or_default();
        Self { store, settings }
    }

    fn keep(&mut self, key: &str, wanted: &Wanted, to: &str) -> Kept {
        let own = self.store.own().and_then(|mut own| own.remove(key));
        match self.store.elsewhere(key) {
            Some(other) if wanted.fits(&other.value) => {
                self.settings.remove(key);
                Kept { value: Some(other.value), fit: Fit::Fits, by: Some(other.path), reason: None }
            }
            Some(other) if other.wins => {
                let reason = format!("{} sets it to {} and wins over kfleet's file", other.path, other.value);
                Kept { value: Some(other.value), fit: Fit::Refused, by: Some(other.path), reason: Some(reason) }
            }
            other => {
                let by = Some(self.store.own.clone());
                if let Some(value) = own.filter(|own| wanted.fits(own)) {
                    return Kept { value: Some(value), fit: Fit::Fits, by, reason: None };
                }
                self.settings.insert(key.to_owned(), to.to_owned());
                let (value, by) = other.map_or((None, None), |other| (Some(other.value), Some(other.path)));
                Kept { value, fit: Fit::Differs, by, reason: None }
            }
        }
    }

    /// What is persisted now, whoever says so.
    fn effective(&self, key: &str) -> Option<String> {
        let own = self.store.own().and_then(|mut own| own.remove(key));
        match self.store.elsewhere(key) {
            Some(other) if other.wins || own.is_none() => Some(other.value),
            Some(_) | None => own,
        }
    }

    fn plan(&self) -> Option<FilePlan> {
        let old = self.store.own();
        if old.clone().unwrap_or_default() == self.settings {
            return None;
        }
        let gone = |key: &String| !self.settings.contains_key(key);
        let dropped = old.into_iter().flat_map(BTreeMap::into_keys).filter(gone).collect();
        Some(FilePlan { path: self.store.own.clone(), content: self.store.content(&self.settings), dropped })
    }
}

/// Everything while items are judged one by one.
struct Bench<'a> {
    readings: &'a Readings,
    sysctl: Shelf<'a>,
    tmpfiles: Option<Shelf<'a>>,
    units: Shelf<'a>,
    fstab: Option<String>,
    knobs: Vec<KnobPlan>,
    reload: bool,
}

impl<'a> Bench<'a> {
    fn new(readings: &'a Readings) -> Self {
        let files =
            |files, own: String, last_wins, parse, render| Shelf::new(Store { files, own, last_wins, parse, render });
        let unit_file = readings.unit.as_deref().map(unit::own).unwrap_or_default();
        let tmp = |files| files_of_tmp(files);
        Self {
            readings,
            sysctl: files(&readings.sysctl, sysctl::OWN.to_owned(), true, sysctl::parse, sysctl::render),
            tmpfiles: readings.tmpfiles.as_deref().map(tmp),
            units: files(&readings.units, unit_file, true, unit::parse, unit::render),
            fstab: readings.fstab.clone(),
            knobs: Vec::new(),
            reload: false,
        }
    }

    fn finish(self, items: Vec<Item>) -> Judged {
        let shelves = [Some(&self.sysctl), self.tmpfiles.as_ref(), Some(&self.units)];
        let mut files: Vec<FilePlan> = shelves.into_iter().flatten().filter_map(Shelf::plan).collect();
        if self.fstab != self.readings.fstab {
            files.push(FilePlan { path: fstab::PATH.to_owned(), content: self.fstab, dropped: Vec::new() });
        }
        Judged { items, knobs: self.knobs, files, reload: self.reload }
    }

    fn item(&mut self, spec: &Spec) -> Item {
        if spec.left_out {
            return item(spec, Status::LeftOut, None);
        }
        let live = self.live(spec);
        match &spec.bar {
            Some(Bar::NotHere(why)) => return item(spec, Status::NotHere, Some(why)).seen(live),
            Some(Bar::Refused(why)) => return item(spec, Status::Refused, Some(why)).seen(live),
            None => {}
        }
        let no_knob = matches!(spec.live, Watched::Knobs(_)) && live.fit == Fit::NotHere;
        if no_knob {
            let why = live.reason.clone().unwrap_or_else(|| "this kernel does not have it".to_owned());
            return item(spec, Status::NotHere, Some(&why)).seen(live);
        }
        if live.fit == Fit::Refused {
            let why = live.reason.clone();
            return item(spec, Status::Refused, why.as_deref()).seen(live);
        }
        let Some(to) = self.target(spec, &live) else {
            let offered = live.shown.as_deref().and_then(kernel::offered).unwrap_or_default().join(", ");
            return item(spec, Status::Refused, Some(&format!("this kernel offers only {offered}"))).seen(live);
        };
        let kept = self.kept(spec, &to);
        let status = self.status(spec, &live, &kept);
        if status == Status::Differs {
            let plan = |(knob, shown)| KnobPlan { item: spec.id.clone(), knob, shown, to: to.clone() };
            self.knobs.extend(live.unfit.iter().cloned().map(plan));
        }
        let reason = kept.reason.clone().or_else(|| live.reason.clone());
        let item = Item { to: Some(to), ..item(spec, status, reason.as_deref()) };
        Item { persisted: kept.value, kept: kept.fit, persisted_by: kept.by, ..item.seen(live) }
    }

    fn status(&mut self, spec: &Spec, live: &Live, kept: &Kept) -> Status {
        match (&spec.live, live.fit, kept.fit) {
            (_, _, Fit::Refused) | (_, Fit::Refused, _) => Status::Refused,
            (_, _, Fit::Differs) | (Watched::Knobs(_), Fit::Differs, _) => Status::Differs,
            (Watched::StopTimeout, Fit::Differs, _) if self.readings.stale => {
                self.reload = true;
                Status::Differs
            }
            // The unit says the right thing, and the process was started before it did.
            (Watched::Process(_) | Watched::StopTimeout, Fit::Differs, _) => Status::Restart,
            (_, Fit::Fits | Fit::NotHere, Fit::Fits | Fit::NotHere) => Status::Fits,
        }
    }

    fn live(&self, spec: &Spec) -> Live {
        let of = |now: Option<String>, reason: &str| {
            let fit =
                now.as_ref().map_or(Fit::NotHere, |now| if spec.wanted.fits(now) { Fit::Fits } else { Fit::Differs });
            let reason = now.is_none().then(|| reason.to_owned());
            Live { shown: now.clone(), now, fit, unfit: Vec::new(), reason }
        };
        match &spec.live {
            Watched::Process(row) => of(self.readings.process.get(*row).cloned(), "the service does not run"),
            Watched::StopTimeout => of(self.readings.stop_timeout.clone(), "systemd does not say"),
            // No swap in use is what is wanted, and no knob is left to show it.
            Watched::Knobs(knobs) if knobs.is_empty() && spec.keep == Keep::FstabSwap => of(Some("off".to_owned()), ""),
            Watched::Knobs(knobs) => self.knobs(spec, knobs),
        }
    }

    fn knobs(&self, spec: &Spec, knobs: &[Knob]) -> Live {
        let mut live = Live { now: None, fit: Fit::NotHere, shown: None, unfit: Vec::new(), reason: None };
        let mut values: Vec<String> = Vec::new();
        for knob in knobs {
            let Some(reading) = self.readings.knobs.get(knob) else { continue };
            let Some(shown) = &reading.text else {
                live.reason = live.reason.or(reading.fixed.clone());
                continue;
            };
            let value = kernel::value(shown);
            let fits = spec.wanted.fits(&value);
            if !values.contains(&value) {
                values.push(value);
            }
            if !fits && live.unfit.is_empty() || live.shown.is_none() {
                live.shown = Some(shown.clone());
            }
            if !fits {
                live.unfit.push((knob.clone(), shown.clone()));
            }
            live.fit = match (fits, &reading.fixed, live.fit) {
                (false, Some(why), _) => {
                    live.reason = Some(why.clone());
                    Fit::Refused
                }
                (false, None, Fit::Refused) | (true, _, Fit::Refused) => Fit::Refused,
                (false, None, _) | (true, _, Fit::Differs) => Fit::Differs,
                (true, _, Fit::Fits | Fit::NotHere) => Fit::Fits,
            };
        }
        live.now = (!values.is_empty()).then(|| values.join(", "));
        live
    }

    /// What is set where the value does not fit.
    fn target(&self, spec: &Spec, live: &Live) -> Option<String> {
        let offered = live.shown.as_deref().and_then(kernel::offered);
        let can = |value: &String| offered.as_ref().is_none_or(|words| words.contains(&value.as_str()));
        // A list of ports keeps what others put in, so it is always made from the live one.
        let from_live = live.fit == Fit::Differs && matches!(spec.wanted, Wanted::Holds(_));
        let candidates = if from_live { [None, None] } else { [self.persisted(spec), live.now.clone()] };
        let found = candidates.into_iter().flatten().find(|value| spec.wanted.fits(value) && can(value));
        found.or_else(|| spec.wanted.target(live.shown.as_deref()))
    }

    fn persisted(&self, spec: &Spec) -> Option<String> {
        match &spec.keep {
            Keep::Sysctl(key) => self.sysctl.effective(key),
            Keep::Tmpfiles(path) => self.tmpfiles.as_ref()?.effective(path),
            Keep::Unit(key) => self.units.effective(key),
            Keep::Fstab(_) | Keep::FstabSwap => None,
        }
    }

    fn kept(&mut self, spec: &Spec, to: &str) -> Kept {
        match &spec.keep {
            Keep::Sysctl(key) if self.sysctl.effective(key).is_none() && boots_right(spec) => Kept::by_default(spec),
            Keep::Sysctl(key) => self.sysctl.keep(key, &spec.wanted, to),
            Keep::Unit(key) => self.units.keep(key, &spec.wanted, to),
            Keep::Tmpfiles(path) => {
                let at_boot = self.at_boot(&spec.id).filter(|word| spec.wanted.fits(word));
                let Some(shelf) = &mut self.tmpfiles else {
                    return Kept::nowhere("no systemd is here that would set it at boot");
                };
                match at_boot {
                    Some(word) if shelf.effective(path).is_none() => {
                        Kept { value: Some(word), fit: Fit::Fits, by: Some("/proc/cmdline".to_owned()), reason: None }
                    }
                    Some(_) | None if shelf.effective(path).is_none() && boots_right(spec) => Kept::by_default(spec),
                    Some(_) | None => shelf.keep(path, &spec.wanted, to),
                }
            }
            Keep::Fstab(dir) => self.mount(spec, dir, to),
            Keep::FstabSwap => self.swap(),
        }
    }

    /// What the kernel's command line says of huge pages.
    fn at_boot(&self, id: &str) -> Option<String> {
        let words = self.readings.cmdline.split_whitespace();
        let said = words.filter_map(|word| word.strip_prefix("transparent_hugepage=")).next_back();
        said.filter(|_| id == "thp.enabled").map(str::to_owned)
    }

    fn mount(&mut self, spec: &Spec, dir: &str, to: &str) -> Kept {
        let text = self.fstab.as_deref().unwrap_or_default();
        let by = Some(fstab::PATH.to_owned());
        match fstab::atime(text, dir) {
            None => Kept::nowhere("no line of /etc/fstab mounts it: what mounts it at boot has to say it"),
            Some(value) if spec.wanted.fits(&value) => Kept { value: Some(value), fit: Fit::Fits, by, reason: None },
            Some(value) => {
                self.fstab = Some(fstab::with_atime(text, dir, to));
                Kept { value: Some(value), fit: Fit::Differs, by, reason: None }
            }
        }
    }

    fn swap(&mut self) -> Kept {
        let text = self.fstab.as_deref().unwrap_or_default();
        let swaps = fstab::swaps(text);
        if swaps.is_empty() {
            return Kept { value: Some("off".to_owned()), fit: Fit::Fits, by: None, reason: None };
        }
        self.fstab = Some(fstab::without_swap(text));
        let value = Some(format!("on: {}", swaps.join(", ")));
        Kept { value, fit: Fit::Differs, by: Some(fstab::PATH.to_owned()), reason: None }
    }
}

fn files_of_tmp(files: &[ConfFile]) -> Shelf<'_> {
    let (parse, render) = (tmpfiles::parse, tmpfiles::render);
    Shelf::new(Store { files, own: tmpfiles::OWN.to_owned(), last_wins: false, parse, render })
}

fn item(spec: &Spec, status: Status, reason: Option<&str>) -> Item {
    Item {
        id: spec.id.clone(),
        status,
        now: None,
        wanted: spec.wanted.text(),
        to: None,
        live: Fit::NotHere,
        persisted: None,
        kept: Fit::NotHere,
        persisted_by: None,
        reason: reason.map(str::to_owned),
        why: spec.rule.why,
        source: spec.rule.source,
        risk: spec.rule.risk,
        needs: spec.rule.needs,
    }
}

impl Item {
    fn seen(self, live: Live) -> Self {
        Self { now: live.now, live: live.fit, ..self }
    }
}

#[cfg(test)]
mod tests;
