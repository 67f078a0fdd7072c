//! The document itself, for machines: [`kfleet_inspect::Inspection`] and nothing else. Its schema stands in it, and
//! within one schema only fields are added.

use super::{Options, Pages, RenderError};

pub(super) fn render(pages: &Pages<'_>, _options: &Options) -> Result<String, RenderError> {
    let mut text = serde_json::to_string_pretty(pages.inspection)?;
    text.push('\n');
    Ok(text)
}
