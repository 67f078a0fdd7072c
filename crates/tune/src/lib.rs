//! What the operating system and the JVM of a Kafka or ZooKeeper host shall be set to, and why.
//!
//! Purpose: the rules as a table ([`rules`]), what each of them means on one host ([`specs`]), and the judging of what was
//! read there ([`judge`]): current value, wanted value, whether it holds after a boot, and what has to be written.
//! Place in the flow: the agent's module `os_tune` reads the host, asks this crate, and writes what it says.
//! Not here: files, the kernel, the record of former values (the agent's); thresholds of the inspection, which alarm where
//! a rule here only asks for better.

mod item;
mod judge;
pub mod jvm;
pub mod kernel;
mod machine;
pub mod mounts;
pub mod persist;
mod profile;
mod reference;
mod rules;
mod spec;
mod wanted;

pub use item::{Fit, Item, Status};
pub use judge::{FilePlan, Judged, KnobPlan, Reading, Readings, judge};
pub use machine::{Disk, Machine, Mount, Volume, data_dirs, listener_ports};
pub use profile::Profile;
pub use reference::reference;
pub use rules::{Needs, RULES, Rule};
pub use spec::{Choices, Knob, Spec, SpecError, Watched, specs};
pub use wanted::Wanted;
