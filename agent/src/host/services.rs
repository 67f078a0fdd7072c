//! The host's service manager: what is asked of it, and which one the agent's configuration names.

use super::{HostError, Unit, UnitAction};
use std::path::PathBuf;

/// What keeps the host's services running.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServiceManager {
    /// systemd, over the system bus.
    #[default]
    Systemd,
    /// supervisord, over its own socket.
    Supervisord {
        /// The socket that `[unix_http_server]` of its configuration names.
        socket: PathBuf,
    },
}

/// What a service manager can be asked for. Each call blocks until the answer, or the job's end, is there.
pub(super) trait Services: Send + Sync {
    /// As [`super::HostView::unit`].
    fn unit(&self, name: &str) -> Result<Unit, HostError>;

    /// As [`super::HostView::unit_names`].
    fn unit_names(&self) -> Result<Vec<String>, HostError>;

    /// As [`super::HostView::failed_units`].
    fn failed(&self) -> Result<Vec<String>, HostError>;

    /// As [`super::HostView::units_loaded_us`].
    fn units_loaded_us(&self) -> Result<u64, HostError>;

    /// As [`super::Host::daemon_reload`].
    fn daemon_reload(&self) -> Result<(), HostError>;

    /// As [`super::Host::unit_action`].
    fn act(&self, name: &str, action: UnitAction) -> Result<(), HostError>;
}
