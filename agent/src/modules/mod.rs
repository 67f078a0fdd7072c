//! The modules: one file each, one line each in [`MODULES`].
//!
//! Purpose: everything that a task can do to a host. A module observes, lists what differs and applies exactly that;
//! the contract is in `contract`, the order of calls and the journal in the agent's core.
//! Not here: tasks that never reach a host (`set_fact`, `debug`, `include_tasks`, ...); those are the controller's.

mod apt;
mod blockinfile;
#[cfg(test)]
mod cases;
mod catalogue;
mod cluster_info;
pub mod command;
mod contract;
mod copy;
mod file;
mod file_rollback;
mod get_url;
mod group;
mod jvm_info;
mod jvm_tune;
mod kafka_acls;
mod kafka_dynamic_config;
mod kafka_preferred_leaders;
mod lineinfile;
mod maven_artifact;
mod node_info;
#[cfg(test)]
mod on_this_host;
mod os_tune;
mod ping;
mod replace;
mod service;
mod service_certificate;
mod service_config;
mod setup;
mod shared;
mod slurp;
mod stat;
mod time_sync;
mod user;
mod wait_for;

pub use catalogue::{catalogue, catalogue_json, reference};
pub use contract::{AnyModule, Applied, Call, Module, ModuleError, UnitStop};
pub(crate) use shared::difference::unified as unified_difference;
pub(crate) use shared::paths::matches as shell_pattern;

/// Every module. The order does not matter: the catalogue sorts by name.
pub static MODULES: &[&dyn AnyModule] = &[
    &apt::Apt::APT,
    &apt::Apt::PACKAGE,
    &blockinfile::BlockInFile,
    &cluster_info::ClusterInfo::KAFKA,
    &cluster_info::ClusterInfo::ZOOKEEPER,
    &command::Command::COMMAND,
    &command::Command::SHELL,
    &copy::Copy::COPY,
    &copy::Copy::TEMPLATE,
    &file::File,
    &file_rollback::FileRollback,
    &get_url::GetUrl,
    &group::Group,
    &jvm_info::JvmInfo,
    &jvm_tune::JvmTune,
    &kafka_acls::KafkaAcls,
    &kafka_dynamic_config::KafkaDynamicConfig,
    &kafka_preferred_leaders::KafkaPreferredLeaders,
    &lineinfile::LineInFile,
    &maven_artifact::MavenArtifact,
    &node_info::NodeInfo,
    &os_tune::OsTune,
    &ping::Ping,
    &replace::Replace,
    &service::Service::SERVICE,
    &service::Service::SYSTEMD,
    &service::Service::SYSTEMD_SERVICE,
    &service_certificate::Request,
    &service_certificate::Install,
    &service_config::ServiceConfig::KAFKA,
    &service_config::ServiceConfig::ZOOKEEPER,
    &setup::Setup,
    &slurp::Slurp,
    &stat::Stat,
    &time_sync::TimeSync,
    &user::User,
    &wait_for::WaitFor,
];
