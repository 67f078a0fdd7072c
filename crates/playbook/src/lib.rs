//! The playbook language: text in, plan out.
//!
//! Purpose: reads YAML, variables, templates, plays and roles as Ansible does, and finds what is wrong with them
//! before any host is touched.
//! Place in the flow: the controller gives files and words, gets a [`plan::Plan`] and [`diag::Diagnostics`], and
//! runs the plan. Inventories use the same YAML reader and the same diagnostics.
//! Not here: hosts, network, clock, disk (see [`files::Files`]), colours.

pub mod catalogue;
pub mod diag;
pub mod files;
pub mod lint;
pub mod parse;
pub mod plan;
pub mod source;
pub mod tags;
pub mod template;
pub mod vars;
pub mod yaml;

pub use diag::{Code, Diagnostic, Diagnostics, Marks, Severity};
pub use files::{FileError, FileKind, Files};
pub use plan::{Plan, Play, Step, Task};
pub use source::{Source, Span};
