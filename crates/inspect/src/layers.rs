//! Thresholds in layers: what operators set over the built-in ones.
//!
//! ```text
//!   built-in < fleet < cluster < role < label of the host < label of the topic or group
//! ```
//!
//! The one furthest to the right that says something decides, and the finding names it. Operators write the layers in
//! `inspection.yml` of the fleet directory ([`InspectionFile`] is its shape); every id, name, value and unit in it is
//! checked when it is read, and all that is wrong is told at once.

use crate::catalogue::{Catalogue, Check, CheckId};
use crate::condition::{Limit, LimitError, Op};
use crate::reading::Role;
use crate::waiver::{Acknowledgement, Waiver, Window};
use kfleet_model::{ClusterName, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What decided a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The catalogue.
    BuiltIn,
    /// The fleet's own setting.
    Fleet,
    /// A cluster's.
    Cluster(ClusterName),
    /// That of a role.
    Role(Role),
    /// That of a host's label, `key=value`.
    HostLabel(String),
    /// That of a topic's label.
    TopicLabel(String),
    /// That of a consumer group's label.
    GroupLabel(String),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::Fleet => f.write_str("fleet"),
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Role(role) => write!(f, "role {}", role.name()),
            Self::HostLabel(label) => write!(f, "host label {label}"),
            Self::TopicLabel(label) => write!(f, "topic label {label}"),
            Self::GroupLabel(label) => write!(f, "group label {label}"),
        }
    }
}

/// What a layer says: check id to the word `off`, or to a mapping of limit names to values.
pub type Overrides = BTreeMap<String, Value>;

/// `inspection.yml` as it is written. Values are numbers, texts with a unit (`80 %`, `2 GiB`), words or lists of words.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InspectionFile {
    /// For everything.
    pub fleet: Overrides,
    /// By the name of a cluster or ensemble.
    pub clusters: BTreeMap<ClusterName, Overrides>,
    /// By the role of a host.
    pub roles: BTreeMap<Role, Overrides>,
    /// By a host's label, `key=value`.
    pub host_labels: BTreeMap<String, Overrides>,
    /// By a topic's label.
    pub topic_labels: BTreeMap<String, Overrides>,
    /// By a consumer group's label.
    pub group_labels: BTreeMap<String, Overrides>,
    /// What a person has accepted until a date.
    pub waivers: Vec<Waiver>,
    /// Maintenance that is planned.
    pub windows: Vec<Window>,
    /// Findings that somebody has seen.
    pub acknowledgements: Vec<Acknowledgement>,
}

/// What is wrong with a layer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayerError {
    /// There is no such check.
    #[error("{layer}: there is no check {check:?}{}", .nearest.as_ref().map(|id| format!(", did you mean {id}?")).unwrap_or_default())]
    UnknownCheck {
        /// Where it stands.
        layer: String,
        /// The id.
        check: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// The check is in the catalogue, and kfleet can not judge it yet.
    #[error("{layer}: the check {check} is not built yet, a threshold of it would decide nothing")]
    NotBuilt {
        /// Where it stands.
        layer: String,
        /// The id.
        check: String,
    },
    /// It is neither `off` nor a mapping.
    #[error("{layer}: {check} must be \"off\" or a mapping of {}", .names.join(", "))]
    Form {
        /// Where it stands.
        layer: String,
        /// The check.
        check: String,
        /// What can be set of it.
        names: Vec<String>,
    },
    /// The check has no such limit.
    #[error("{layer}: {check} has no limit {name:?}; it has {}", if .names.is_empty() { "none".to_owned() } else { .names.join(", ") })]
    UnknownLimit {
        /// Where it stands.
        layer: String,
        /// The check.
        check: String,
        /// The name.
        name: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// The value does not fit.
    #[error("{layer}: {check}.{name}: {source}")]
    Value {
        /// Where it stands.
        layer: String,
        /// The check.
        check: String,
        /// The limit.
        name: String,
        /// What is wrong with it.
        source: LimitError,
    },
    /// A label is not written as `key=value`.
    #[error("{layer}: a label is written as key=value")]
    Label {
        /// Where it stands.
        layer: String,
    },
    /// A waiver or window can not be.
    #[error("{0}")]
    Waiver(String),
}

/// What one layer says of one check.
#[derive(Debug, Clone, PartialEq)]
enum Setting {
    Off,
    Limits(BTreeMap<String, Limit>),
}

/// The layers over the built-in thresholds, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layers {
    settings: BTreeMap<Layer, BTreeMap<CheckId, Setting>>,
}

/// What of the fleet an object belongs to, as far as layers ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The layers that apply, in their order.
    layers: Vec<Layer>,
}

impl Place {
    /// A place from everything that an object belongs to. Of two layers of one kind the one that comes later by its
    /// name decides, so that the order of a file never does.
    #[must_use]
    pub fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut layers: Vec<Layer> = layers.into_iter().collect();
        layers.push(Layer::Fleet);
        layers.sort();
        layers.dedup();
        Self { layers }
    }
}

/// The word of a label, as layers name it.
#[must_use]
pub fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

impl Layers {
    /// Checks what operators wrote.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(file: &InspectionFile, catalogue: &Catalogue) -> Result<Self, Vec<LayerError>> {
        let (mut layers, mut errors) = (Self::default(), Vec::new());
        layers.add(catalogue, Layer::Fleet, &file.fleet, &mut errors);
        for (name, overrides) in &file.clusters {
            layers.add(catalogue, Layer::Cluster(name.clone()), overrides, &mut errors);
        }
        for (role, overrides) in &file.roles {
            layers.add(catalogue, Layer::Role(*role), overrides, &mut errors);
        }
        let labels = [
            (&file.host_labels, Layer::HostLabel as fn(String) -> Layer),
            (&file.topic_labels, Layer::TopicLabel),
            (&file.group_labels, Layer::GroupLabel),
        ];
        for (written, layer) in labels {
            for (label, overrides) in written {
                let layer = layer(label.clone());
                if !label.contains('=') {
                    errors.push(LayerError::Label { layer: layer.to_string() });
                }
                layers.add(catalogue, layer, overrides, &mut errors);
            }
        }
        errors.extend(crate::waiver::errors(file, catalogue).into_iter().map(LayerError::Waiver));
        if errors.is_empty() { Ok(layers) } else { Err(errors) }
    }

    fn add(&mut self, catalogue: &Catalogue, layer: Layer, overrides: &Overrides, errors: &mut Vec<LayerError>) {
        for (id, value) in overrides {
            match setting(catalogue, &layer, id, value) {
                Ok(setting) => {
                    self.settings.entry(layer.clone()).or_default().insert(CheckId::new(&**id), setting);
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
    }

    /// The layer that switched a check off for a place, if one did and none later set a limit.
    #[must_use]
    pub fn switched_off(&self, check: &Check, place: &Place) -> Option<Layer> {
        let said =
            place.layers.iter().rev().filter_map(|layer| Some((layer, self.settings.get(layer)?.get(&check.id)?)));
        said.take(1).find(|(_, setting)| **setting == Setting::Off).map(|(layer, _)| layer.clone())
    }

    /// The limit of a check that holds at a place, and which layer decided it; none when the check has no such limit.
    #[must_use]
    pub fn resolve(&self, check: &Check, name: &str, place: &Place) -> Option<(Limit, Layer)> {
        let (_, built_in) = check.limit(name)?;
        for layer in place.layers.iter().rev() {
            if let Some(Setting::Limits(limits)) = self.settings.get(layer).and_then(|of| of.get(&check.id))
                && let Some(limit) = limits.get(name)
            {
                return Some((limit.clone(), layer.clone()));
            }
        }
        Some((built_in.clone(), Layer::BuiltIn))
    }
}

fn setting(catalogue: &Catalogue, layer: &Layer, id: &str, value: &Value) -> Result<Setting, Vec<LayerError>> {
    let (layer, check) = (layer.to_string(), id.to_owned());
    let Some(found) = catalogue.get(id) else {
        return Err(vec![LayerError::UnknownCheck { layer, check, nearest: catalogue.nearest(id) }]);
    };
    if !found.built {
        return Err(vec![LayerError::NotBuilt { layer, check }]);
    }
    let names: Vec<String> = found.limit_names().into_iter().map(str::to_owned).collect();
    // YAML reads a bare `off` as false.
    if value.as_str() == Some("off") || value.as_bool() == Some(false) {
        return Ok(Setting::Off);
    }
    let Value::Object(mapping) = value else {
        return Err(vec![LayerError::Form { layer, check, names }]);
    };
    let (mut limits, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, value) in mapping {
        let Some((op, built_in)) = found.limit(name) else {
            let (layer, check, names) = (layer.clone(), check.clone(), names.clone());
            errors.push(LayerError::UnknownLimit { layer, check, name: name.clone(), names });
            continue;
        };
        let op = op.unwrap_or(if built_in.number().is_some() { Op::Above } else { Op::Is });
        match built_in.replaced_by(op, value) {
            Ok(limit) => {
                limits.insert(name.clone(), limit);
            }
            Err(source) => {
                let (layer, check) = (layer.clone(), check.clone());
                errors.push(LayerError::Value { layer, check, name: name.clone(), source });
            }
        }
    }
    if errors.is_empty() { Ok(Setting::Limits(limits)) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
