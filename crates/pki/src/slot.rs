//! The place of the current TLS configuration.
//!
//! Purpose: change certificates, authorities and revocation lists while connections live. A new configuration is
//! built and checked completely first; then it replaces the old one at once, and new connections use it.
//! Place in the flow: the agent's listener and the controller's calls read it; whoever renews certificates writes it.
//! Not here: what happens to connections made under the old configuration. [`TlsSlot::subscribe`] tells of the change.

use std::sync::Arc;
use tokio::sync::watch;

/// Holds the newest configuration; clones share one place.
#[derive(Debug)]
pub struct TlsSlot<T>(Arc<watch::Sender<Arc<T>>>);

/// The slot of a listener.
pub type ServerSlot = TlsSlot<rustls::ServerConfig>;
/// The slot of calls to hosts.
pub type ClientSlot = TlsSlot<crate::tls::ClientConfigs>;

impl<T> TlsSlot<T> {
    /// Begins with this configuration.
    #[must_use]
    pub fn new(config: Arc<T>) -> Self {
        Self(Arc::new(watch::Sender::new(config)))
    }

    /// The newest configuration.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts a new configuration in place for all connections from now on.
    pub fn replace(&self, config: Arc<T>) {
        self.0.send_replace(config);
    }

    /// Tells of each later change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<T>> {
        self.0.subscribe()
    }
}

impl<T> Clone for TlsSlot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
