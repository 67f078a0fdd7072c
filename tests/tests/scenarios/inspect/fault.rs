//! A fault: how it is made, what must be found, how it is mended.

use super::script;
use crate::support::Stage;
use anyhow::{Context, Result, ensure};
use kfleet_inspect::{CATALOGUE, Object};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

/// The inspection is worth nothing below this many faults that it finds.
const LEAST: usize = 45;

/// Something that is done to the lab.
pub(super) type Work = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// How something is done.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Nothing is to be done: it comes with another act, or passes by itself.
    Nothing,
    /// By a script on the fault's host.
    Script(&'static str),
    /// By more than one host, or from outside.
    Work(Work),
}

impl Act {
    /// Does it.
    pub(super) async fn act(&self, stage: &Stage, host: &str) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Script(text) => script::run(stage, host, text).await.map(|_said| ()),
            Self::Work(work) => work(stage).await,
        }
    }
}

/// One fault.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    /// What an operator would call it.
    pub(super) name: &'static str,
    /// Where its scripts run.
    host: &'static str,
    /// What it must be found as, warn or crit: `check@object`, where `*` stands for any text.
    pub(super) finds: &'static [&'static str],
    /// What may be found beside that, in any state: its side effects, with the reason beside each fault.
    pub(super) also: &'static [&'static str],
    made: Act,
    mended: Act,
}

/// A fault on a host, made and mended by scripts.
pub(super) const fn fault(
    name: &'static str,
    host: &'static str,
    finds: &'static [&'static str],
    make: &'static str,
    mend: &'static str,
) -> Fault {
    Fault { name, host, finds, also: &[], made: Act::Script(make), mended: Act::Script(mend) }
}

/// A fault that is made and mended otherwise.
pub(super) const fn other(
    name: &'static str,
    host: &'static str,
    finds: &'static [&'static str],
    made: Act,
    mended: Act,
) -> Fault {
    Fault { name, host, finds, also: &[], made, mended }
}

impl Fault {
    /// With its side effects.
    pub(super) const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    /// Makes it, and waits until it is there.
    pub(super) async fn make(&self, stage: &Stage) -> Result<()> {
        self.made.act(stage, self.host).await
    }

    /// Mends it, also when it was not made at all.
    pub(super) async fn mend(&self, stage: &Stage) -> Result<()> {
        self.mended.act(stage, self.host).await
    }
}

/// Faults that do not disturb each other.
pub(super) struct Group {
    /// What they have in common.
    pub(super) name: &'static str,
    /// The faults, in the order in which they are made.
    pub(super) faults: &'static [Fault],
    /// Side effects of all of them together.
    pub(super) also: &'static [&'static str],
    /// What brings them into effect when all are made.
    pub(super) made: Act,
    /// What does the same when all are mended.
    pub(super) mended: Act,
}

/// That the table can be what it says: enough faults, each of a name of its own, found as checks that are built and on
/// objects that can be.
pub(super) fn check(groups: &[Group]) -> Result<()> {
    let faults: Vec<&Fault> = groups.iter().flat_map(|group| group.faults).collect();
    let names: BTreeSet<&str> = faults.iter().map(|fault| fault.name).collect();
    ensure!(names.len() == faults.len(), "two faults have one name");
    ensure!(faults.len() >= LEAST, "{} faults, {LEAST} are wanted", faults.len());
    for fault in &faults {
        ensure!(!fault.finds.is_empty(), "{:?} is to be found as nothing", fault.name);
        for wanted in fault.finds {
            let (check, object) = wanted.split_once('@').with_context(|| format!("{wanted:?} has no object"))?;
            let built = CATALOGUE.get(check).is_some_and(|check| check.built);
            ensure!(built, "{:?} is to be found by {check}, which can not be judged", fault.name);
            object.parse::<Object>().with_context(|| format!("{:?}", fault.name))?;
        }
    }
    println!("    {} faults in {} groups", faults.len(), groups.len());
    Ok(())
}
