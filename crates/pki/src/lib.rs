//! crates/pki
