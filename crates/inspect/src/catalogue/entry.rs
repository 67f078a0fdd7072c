//! The form of an entry in the catalogue's files, and the check that it becomes.

use super::{Bilingual, Check, CheckId, EXIT_PERCENT, Excuse, GateSet, Mode};
use crate::condition::{As, Condition, Limit, Op, Operand};
use crate::reading::{ClusterKind, Role};
use crate::readings::Scope;
use kfleet_model::Value;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A check as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    title: Bilingual,
    reads: String,
    said: Said,
    why: Bilingual,
    advice: Bilingual,
    from: String,
    mode: Mode,
    fix: Option<String>,
    #[serde(default)]
    built: bool,
    #[serde(default)]
    core: bool,
    #[serde(default)]
    gates: Vec<GateSet>,
    scope: Option<Scope>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    kinds: Vec<ClusterKind>,
    #[serde(default)]
    parts: Vec<String>,
    reading: Option<String>,
    #[serde(default)]
    readings: Vec<String>,
    entry: Option<String>,
    default: Option<String>,
    #[serde(rename = "as")]
    made: Option<As>,
    share_of: Option<String>,
    #[serde(default)]
    least: f64,
    #[serde(default, rename = "for")]
    samples: usize,
    exit: Option<f64>,
    rule: Option<String>,
    #[serde(default)]
    warn: Vec<When>,
    #[serde(default)]
    crit: Vec<When>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    excuse: Option<Excuse>,
}

/// The conditions in words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    warn: String,
    crit: String,
}

/// A condition as it is written; what is not said is as the entry says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    op: Op,
    value: Option<Value>,
    than: Option<String>,
    #[serde(default = "one")]
    factor: f64,
    name: Option<String>,
    on: Option<String>,
    #[serde(rename = "as")]
    made: Option<As>,
}

fn one() -> f64 {
    1.0
}

impl Entry {
    /// The check.
    ///
    /// # Errors
    /// What does not fit together, for whoever writes the data.
    pub(super) fn check(self) -> Result<Check, String> {
        let warn = self.conditions(&self.warn, "warn")?;
        let crit = self.conditions(&self.crit, "crit")?;
        let mut settings = BTreeMap::new();
        for (name, value) in &self.settings {
            // A setting that reads as a quantity is one; otherwise it is a word or a list.
            let limit = Limit::parse(Op::Above, value).or_else(|_| Limit::parse(Op::Is, value));
            settings.insert(name.clone(), limit.map_err(|error| format!("setting {name}: {error}"))?);
        }
        let mut readings = self.readings.clone();
        for condition in warn.iter().chain(&crit) {
            let other = match &condition.against {
                Operand::Reading { key, .. } => Some(key),
                Operand::Nothing | Operand::Limit(_) => None,
            };
            readings.extend([&condition.reading, &condition.share_of].into_iter().flatten().chain(other).cloned());
        }
        readings.sort();
        readings.dedup();
        self.is_judged(&warn, &crit)?;
        Ok(Check {
            id: CheckId::new(self.id),
            title: self.title,
            reads: self.reads,
            said: (self.said.warn, self.said.crit),
            why: self.why,
            advice: self.advice,
            fix: self.fix,
            from: self.from,
            mode: self.mode,
            built: self.built,
            core: self.core,
            gates: self.gates,
            scope: self.scope.unwrap_or(Scope::Host),
            roles: self.roles,
            kinds: self.kinds,
            parts: self.parts,
            readings,
            rule: self.rule,
            warn,
            crit,
            settings,
            exit: self.exit.unwrap_or(EXIT_PERCENT),
            excuse: self.excuse,
        })
    }

    /// A check that is built says how it is judged, one that is not says nothing of it.
    fn is_judged(&self, warn: &[Condition], crit: &[Condition]) -> Result<(), String> {
        let conditions = warn.len() + crit.len();
        let judged = self.rule.is_some() || conditions > 0;
        if judged != self.built {
            return Err("it must have conditions or a rule exactly when it is built".to_owned());
        }
        if self.rule.is_none() && warn.iter().chain(crit).any(|condition| condition.reading.is_none()) {
            return Err("a condition has no reading, and there is no rule to give one".to_owned());
        }
        Ok(())
    }

    fn conditions(&self, whens: &[When], level: &str) -> Result<Vec<Condition>, String> {
        let mut conditions: Vec<Condition> = Vec::new();
        for when in whens {
            let condition = self.condition(when, level)?;
            if conditions.iter().any(|other| other.name == condition.name) {
                return Err(format!("two conditions are named {}", condition.name));
            }
            conditions.push(condition);
        }
        Ok(conditions)
    }

    fn condition(&self, when: &When, level: &str) -> Result<Condition, String> {
        let against = match (&when.value, &when.than) {
            (Some(value), None) => {
                Operand::Limit(Limit::parse(when.op, value).map_err(|error| format!("{level}: {error}"))?)
            }
            (None, Some(key)) => Operand::Reading { key: key.clone(), factor: when.factor },
            (None, None) if when.op.is_alone() => Operand::Nothing,
            (None, None) => return Err(format!("{level}: {} needs a value", when.op.sign())),
            (Some(_), Some(_)) => return Err(format!("{level}: there is both a value and another reading")),
        };
        // A condition on another reading shares nothing with the entry's own.
        let own = when.on.is_none();
        Ok(Condition {
            name: when.name.clone().unwrap_or_else(|| level.to_owned()),
            reading: when.on.clone().or_else(|| self.reading.clone()),
            entry: self.entry.clone().filter(|_| own),
            default: self.default.clone().filter(|_| own),
            made: when.made.or(self.made.filter(|_| own)),
            share_of: self.share_of.clone().filter(|_| own),
            least: self.least,
            samples: self.samples,
            op: when.op,
            against,
        })
    }
}
