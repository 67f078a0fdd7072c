//! What the logs say: signatures that were seen since the last inspection, by the reader of logs.

use super::scene::Scene;
use super::sink::{Gap, Sink};
use crate::collect::logs;
use kfleet_model::Map;
use std::time::Duration;

/// What is said whatever the logs hold; the signatures that were seen come beside it.
pub(super) const KEYS: &[&str] = &["log.sources"];

/// A night's logs are read up to a budget of bytes, which takes seconds at most.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// Reads them.
pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let mut params = Map::new();
    let units: Vec<String> = scene.services()?.iter().filter_map(|service| service.params.service.clone()).collect();
    if !units.is_empty() {
        params.insert("services".to_owned(), units.into());
    }
    if let Some(id) = scene.params.inspection.clone() {
        params.insert("inspection".to_owned(), id.into());
    }
    let readings = logs::readings(scene.host(), &params).map_err(|error| Gap::unreadable(error.to_string()))?;
    sink.extend(readings);
    Ok(())
}
