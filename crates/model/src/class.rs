//! The classes of failure. Every error of the program falls into one; exit codes and gRPC status follow from it.

use serde::{Deserialize, Serialize};

/// Whose fault a failure is, and so who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A file or an argument that the operator gave: YAML, inventory, template, command line.
    Input,
    /// A host did what was asked and it failed there.
    Host,
    /// A host's agent did not answer within its deadline.
    Unreachable,
    /// Refused by a safety rule: a gate, a lease, a guard rail, a certificate.
    Refused,
    /// Stopped by the operator.
    Cancelled,
    /// A bug of kfleet, or its own state directory is not usable.
    Internal,
}
