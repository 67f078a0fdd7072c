//! What goes to which channel: the routes of `notify.yml`.

use super::channel::Style;
use super::message::Language;
use super::plan::Clusters;
use kfleet_inspect::condition::fits;
use kfleet_inspect::object::Owner;
use kfleet_inspect::{CheckId, Object, State};
use kfleet_model::ClusterName;
use std::collections::BTreeMap;

/// What a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// From this state on. By default `unknown`: all that counts for the verdict.
    pub severity: State,
    /// Patterns of clusters; empty for everything. A host is of the clusters of its services.
    pub clusters: Vec<String>,
    /// Patterns of hosts; empty for everything.
    pub hosts: Vec<String>,
    /// Patterns of checks; empty for all.
    pub checks: Vec<String>,
}

impl Default for Match {
    fn default() -> Self {
        Self { severity: State::Unknown, clusters: Vec::new(), hosts: Vec::new(), checks: Vec::new() }
    }
}

/// What a message about many holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is news.
    Changes,
    /// What is still open too.
    Everything,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it takes.
    pub matches: Match,
    /// To which channels.
    pub channels: Vec<String>,
    /// What a digest holds.
    pub scope: Scope,
    /// One message for the night, or one for each cause. Only for channels that people read.
    pub digest: bool,
    /// A digest is sent although nothing is news, so that silence means that something is broken.
    pub always: bool,
}

/// What the planner knows of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How it takes a night.
    pub style: Style,
    /// Its language.
    pub language: Language,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// The channels by their names.
    pub channels: BTreeMap<String, Reach>,
    /// The routes in their order.
    pub routes: Vec<Route>,
    /// Where the report is.
    pub link: Option<String>,
}

impl Match {
    /// It takes a finding of a check on an object.
    fn takes(&self, clusters: &Clusters, (check, object, state): (&CheckId, &Object, State)) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| fits(pattern, text));
        let cluster = |name: &ClusterName| any(&self.clusters, name.as_str());
        let in_cluster = || match &object.owner {
            Owner::Cluster(name) => cluster(name),
            Owner::Host(host) => clusters.get(host).is_some_and(|of| of.iter().any(cluster)),
            Owner::Fleet => false,
        };
        let on_host = || object.owner.host().is_some_and(|host| any(&self.hosts, host.as_str()));
        state >= self.severity
            && (self.clusters.is_empty() || in_cluster())
            && (self.hosts.is_empty() || on_host())
            && (self.checks.is_empty() || any(&self.checks, check.as_str()))
    }
}

impl Route {
    /// It leads to a channel.
    #[must_use]
    pub fn leads_to(&self, channel: &str) -> bool {
        self.channels.iter().any(|name| name == channel)
    }
}

impl Routing {
    /// The first route that takes a finding of a check on an object for a channel.
    #[must_use]
    pub fn first(&self, channel: &str, clusters: &Clusters, finding: (&CheckId, &Object, State)) -> Option<&Route> {
        self.routes.iter().filter(|route| route.leads_to(channel)).find(|route| route.matches.takes(clusters, finding))
    }
}
