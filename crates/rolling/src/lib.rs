//! crates/rolling
