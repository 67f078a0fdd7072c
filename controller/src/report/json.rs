//! One JSON object a line, for machines. The shape is `kfleet_model::event::Event`'s.

use super::Consumer;
use kfleet_model::event::Event;

/// Writes events as JSON lines to standard output.
#[derive(Debug, Default)]
pub struct JsonLines;

impl Consumer for JsonLines {
    fn event(&mut self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(line) => super::print(&format!("{line}\n")),
            Err(error) => super::eprint(&format!("an event could not be written as JSON: {error}")),
        }
    }
}
