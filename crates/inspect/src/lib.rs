//! The inspection: readings in, findings and one result document out, as pure functions.
//!
//! Purpose: the catalogue of checks ([`catalogue`], data with texts in English and Chinese), the thresholds that
//! operators set over it ([`layers`]), and the judging of what was read ([`judge`]).
//! Place in the flow: agents collect readings ([`readings`] is the table of their keys) and judge their own host with
//! it; the controller judges the whole fleet with the same code, stores the [`Inspection`] and renders it.
//! Not here: input or output, clocks (the time is an argument), how anything is read, and any form for people.

pub mod anomaly;
pub mod catalogue;
mod causes;
pub mod condition;
pub mod diff;
pub mod finding;
pub mod forecast;
pub mod history;
pub mod judge;
pub mod layers;
pub mod memory;
pub mod object;
pub mod reading;
pub mod readings;
mod rules;
mod score;
mod stats;
pub mod unit;
pub mod waiver;

pub use catalogue::{Bilingual, CATALOGUE, Catalogue, Check, CheckId, GateSet};
pub use finding::{Cleared, Finding, Inspection, Level, State, Subject};
pub use history::{History, Point};
pub use judge::{Night, judge};
pub use layers::{InspectionFile, Layer, LayerError, Layers};
pub use memory::Memory;
pub use object::{Object, Owner, Part, PartKind};
pub use reading::{
    Answer, ClusterKind, ClusterReadings, Confidence, Cost, Counter, Datum, DatumKind, FleetReadings, HostReadings,
    MissingHost, OffsetSample, Outcome, Reading, Role, View,
};
pub use readings::{Key, Scope};
pub use unit::{Quantity, Unit};
pub use waiver::{Acknowledgement, Waiver, Window};
