//! Schedules: inspections at the times that `schedule.yml` of the fleet directory names.
//!
//! Place in the flow: `kfleet serve` and `kfleet schedule` come here; the job is theirs, behind the trait [`Job`].
//! Not here: how an inspection is made (`inspect/`), and how an alert reaches somebody: the trait [`Alerts`].
//!
//! ```text
//!   schedule.yml -> file -> rules (pure) <- calendar (pure: cron, zone, changes of the clock)
//!                             |
//!   serve (waits, reloads) -> desk -> intent stored -> job, until its deadline -> outcome stored -> alert when it is not done
//! ```

pub mod calendar;
mod desk;
mod file;
mod job;
mod lock;
pub mod notify;
pub mod rules;
mod serve;

pub use desk::{Begun, Desk, Next, Ran};
pub use file::{Entry, FILE, Fault, Inspect, Language, Notices, Report, parse};
pub use job::{Alert, AlertKind, Alerts, Clock, Job, JobEnd, JobOutcome, LogAlerts, MachineClock, Occasion};
pub use lock::{Lock, LockError};
pub use serve::{ServeError, Server, Source, WAKE};
