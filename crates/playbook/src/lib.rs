//! crates/playbook
