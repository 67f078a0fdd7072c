//! Puts the parts of a running agent together.
//!
//! Place in the flow: `kfleet-agent serve` calls [`serve`]; everything that lives as long as the agent is made here.
//! Not here: arguments, and what the parts do.

use crate::config::{Config, Keeper};
use crate::host::ServiceManager;
use crate::journal::cache::Cache;
use crate::journal::error::{StateError, chain};
use crate::journal::files::{self, Durable};
use crate::journal::notes::Notes;
use crate::journal::spool::Retention;
use crate::journal::versions::Versions;
use crate::journal::{Journal, JournalLimits, record};
use crate::modules;
use crate::ops::{CommandSettings, Ops, blocking};
use crate::service::{About, Front, ServeError, Server};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often old spools are looked for.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its state can not be used.
    #[error("failed to {}", chain(.0))]
    State(#[from] StateError),
    /// It can not be reached.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the agent until it is asked to stop.
///
/// # Errors
/// When its state, identity or address can not be used.
pub async fn serve(config: Config) -> Result<(), AgentError> {
    files::make_private_dir(&config.state_dir)?;
    let lock = lock(&config.state_dir)?;
    let server = Server::bind(config.listen, &config.pki_dir).await?;
    let boot_id = boot_id()?;
    let cache = Arc::new(Cache::open(&config.state_dir, config.limits.cache_bytes)?);
    let versions = Arc::new(Versions::open(&config.state_dir)?);
    let notes = Arc::new(Notes::open(&config.state_dir)?);
    let limits = JournalLimits { min_free_bytes: config.limits.min_free_bytes, ..JournalLimits::default() };
    let journal = Arc::new(Journal::open(&config.state_dir, limits, &boot_id)?);
    let settings = command_settings(&config);
    let ops = Ops::new(journal, cache.clone(), versions, notes, settings, config.guard.clone(), boot_id.clone());
    let about = About {
        incarnation: uuid::Uuid::now_v7().to_string(),
        boot_id,
        catalogue_sha256: record::hex(&Sha256::digest(kfleet_proto::convert::json_bytes(&modules::catalogue_json()))),
    };
    let address = server.address();
    // Tools and tests that asked for port 0 find the real one here.
    files::replace(&config.state_dir.join("listen"), format!("{address}\n").as_bytes(), Durable::No)?;
    tracing::info!(%address, incarnation = about.incarnation, version = env!("CARGO_PKG_VERSION"), "serving");
    let keep = Retention {
        age: Duration::from_secs(config.limits.spool_days.saturating_mul(86_400)),
        total_bytes: config.limits.spool_bytes,
    };
    tokio::select! {
        // Cleaning never ends; dropping it between two rounds or in the wait for one leaves nothing half done.
        ended = server.run(Front::new(ops.clone(), cache, about), ops.clone()) => ended?,
        () = clean(ops, keep) => {}
    }
    tracing::info!("stopped");
    drop(lock);
    Ok(())
}

async fn clean(ops: Ops, keep: Retention) {
    loop {
        let ops = ops.clone();
        if let Err(error) = blocking(move || ops.clean_spools(&keep)).await {
            tracing::warn!(error = chain(&error), "old output could not be cleaned up");
        }
        tokio::time::sleep(CLEAN_EVERY).await;
    }
}

fn command_settings(config: &Config) -> CommandSettings {
    CommandSettings {
        // Even when the program's file was replaced by an upgrade, this is the very program that runs.
        exe: PathBuf::from("/proc/self/exe"),
        ops_dir: config.state_dir.join("ops"),
        home_dir: config.state_dir.clone(),
        output_cap_bytes: config.limits.output_bytes,
        result_output_bytes: usize::try_from(config.limits.result_output_bytes).unwrap_or(usize::MAX),
        service_manager: service_manager(config),
    }
}

/// What keeps the host's services, as the configuration says.
pub(crate) fn service_manager(config: &Config) -> ServiceManager {
    match config.service_manager {
        Keeper::Systemd => ServiceManager::Systemd,
        Keeper::Supervisord => ServiceManager::Supervisord { socket: config.supervisord_socket.clone() },
    }
}

/// One agent at a time uses a state directory. The lock goes with the process, however that ends.
fn lock(state_dir: &Path) -> Result<Flock<File>, StateError> {
    let path = state_dir.join("lock");
    let file = files::private().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(StateError::io("open", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == Errno::EWOULDBLOCK {
            StateError::Locked { path: path.clone() }
        } else {
            StateError::Io { what: "lock", path: path.clone(), source: errno.into() }
        }
    })
}

fn boot_id() -> Result<String, StateError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(std::fs::read_to_string(path).map_err(StateError::io("read", path))?.trim().to_owned())
}
