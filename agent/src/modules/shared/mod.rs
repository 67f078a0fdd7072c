//! What several modules need: modes, owners, patterns, paths, text differences. No module of its own.

pub(crate) mod attributes;
pub(crate) mod difference;
pub(crate) mod download;
pub(crate) mod edit;
pub(crate) mod mode;
pub(crate) mod params;
pub(crate) mod paths;
pub(crate) mod pattern;
