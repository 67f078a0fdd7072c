//! `notify.yml` of the fleet directory: channels, and which findings go to which of them.
//!
//! ```yaml
//! link: https://kfleet.example/inspection
//! channels:
//!   ops-ding:
//!     type: dingtalk
//!     language: zh
//!     url: {file: secrets/ding-url}
//!     secret: {env: DING_SECRET}
//!   on-call: {type: pagerduty, routing_key: {file: secrets/pagerduty}}
//! routes:
//!   - match: {severity: crit, clusters: ["prod-*"]}
//!     channels: [on-call]
//!   - match: {checks: ["disk.*", "zk.*"]}
//!     channels: [ops-ding]
//!     digest: true
//! ```

use super::channel::{Channel, KINDS, Kind};
use super::fields::{Desk, Fields, Outside, Privacy};
use super::message::{LINK_BYTES, Language};
use super::routing::{Match, Reach, Route, Routing, Scope};
use kfleet_inspect::State;
use kfleet_model::module::nearest;
use kfleet_playbook::yaml::{self, Node};
use kfleet_playbook::{Code, Diagnostic, Diagnostics, Span};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of the file in the fleet directory.
pub const FILE: &str = "notify.yml";

/// A channel that is set up.
#[derive(Debug)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static Kind,
    /// Its language.
    pub language: Language,
    /// Itself.
    pub channel: Box<dyn Channel>,
}

/// Everything of `notify.yml`.
#[derive(Debug)]
pub struct Notify {
    /// The channels by their names.
    pub channels: BTreeMap<String, Configured>,
    /// What goes where.
    pub routing: Routing,
}

/// What reading the settings gave: them, if nothing is wrong, and all that was found.
#[derive(Debug)]
pub struct Loaded {
    /// The settings; none when an error is among the diagnostics.
    pub notify: Option<Notify>,
    /// What was found, warnings included.
    pub diagnostics: Diagnostics,
}

/// Secrets from files below the fleet directory and from the environment.
#[derive(Debug)]
pub struct FleetFiles {
    dir: PathBuf,
}

impl FleetFiles {
    /// For the fleet of a directory.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
}

impl Outside for FleetFiles {
    fn file(&self, path: &Path) -> std::io::Result<(String, Privacy)> {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.dir.join(path);
        let others = std::fs::metadata(&path)?.mode() & 0o077 != 0;
        Ok((std::fs::read_to_string(&path)?, if others { Privacy::Others } else { Privacy::Owner }))
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads the settings of a fleet. A fleet without the file has no channels, and that is not wrong.
///
/// # Errors
/// When the file is there and can not be read.
pub fn load(dir: &Path) -> std::io::Result<Loaded> {
    let outside = FleetFiles::new(dir);
    match outside.file(Path::new(FILE)) {
        Ok((text, privacy)) => Ok(read(&text, privacy, &outside)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let notify = Notify { channels: BTreeMap::new(), routing: Routing::default() };
            Ok(Loaded { notify: Some(notify), diagnostics: Diagnostics::new() })
        }
        Err(error) => Err(error),
    }
}

/// Reads settings from their text.
#[must_use]
pub fn read(text: &str, privacy: Privacy, outside: &dyn Outside) -> Loaded {
    let mut desk = Desk { outside, privacy, diagnostics: Diagnostics::new() };
    let mut found = Diagnostics::new();
    let node = match yaml::source(FILE, text.as_bytes().to_vec()) {
        Ok(source) => yaml::parse(&source, &mut found),
        Err(error) => {
            found.push(*error);
            None
        }
    };
    // A mistake of YAML is shown without its line too.
    for diagnostic in found.iter() {
        desk.push(diagnostic.clone());
    }
    let notify = node.and_then(|node| whole(&node, &mut desk));
    let failed = desk.diagnostics.has_errors();
    Loaded { notify: notify.filter(|_| !failed), diagnostics: desk.diagnostics }
}

fn whole(node: &Node, desk: &mut Desk<'_>) -> Option<Notify> {
    let mut fields = Fields::of(FILE, "", node, desk)?;
    let link = fields.text("link");
    if let Some(link) = &link
        && (link.len() > LINK_BYTES || !is_link(link))
    {
        fields.error(
            "link",
            format!("it must be an http or https address without blanks, of at most {LINK_BYTES} bytes"),
        );
    }
    let channels_node = fields.node("channels");
    let routes_node = fields.node("routes");
    let desk = fields.desk();
    let mut channels = BTreeMap::new();
    if let Some(node) = channels_node {
        for (name, span, node) in named(node, desk) {
            if let Some(channel) = channel(&name, &span, node, desk) {
                channels.insert(name, channel);
            }
        }
    }
    let mut routes = Vec::new();
    if let Some(node) = routes_node {
        match node.as_list() {
            Some(nodes) => {
                // A channel that could not be read has its own diagnostic, so its name is known all the same.
                let names: Vec<&str> = channels_node
                    .and_then(Node::as_mapping)
                    .map(|entries| entries.iter().map(|entry| entry.key.as_str()).collect())
                    .unwrap_or_default();
                routes.extend(nodes.iter().enumerate().filter_map(|(at, node)| route(at, node, &names, desk)));
            }
            None => desk.push(Diagnostic::error(Code::Structure, "routes must be a list").at(&node.span)),
        }
    }
    fields.finish();
    let reach = |configured: &Configured| Reach { style: configured.kind.style, language: configured.language };
    let reaches = channels.iter().map(|(name, configured)| (name.clone(), reach(configured))).collect();
    Some(Notify { routing: Routing { channels: reaches, routes, link }, channels })
}

/// It can stand in markdown, HTML and a header as it is.
fn is_link(link: &str) -> bool {
    let plain = link.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '|' | '(' | ')' | '\\'));
    plain && (link.starts_with("https://") || link.starts_with("http://"))
}

fn named<'a>(node: &'a Node, desk: &mut Desk<'_>) -> Vec<(String, Span, &'a Node)> {
    let Some(entries) = node.as_mapping() else {
        desk.push(Diagnostic::error(Code::Structure, "channels must be a mapping of names").at(&node.span));
        return Vec::new();
    };
    let mut named = Vec::new();
    for entry in entries {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if entry.key.is_empty() || entry.key.len() > 64 || !entry.key.chars().all(plain) {
            let message = format!("channel {:?}: a name has at most 64 letters, digits, '-', '_' and '.'", entry.key);
            desk.push(Diagnostic::error(Code::Parameter, message).at(&entry.key_span));
        } else {
            named.push((entry.key.clone(), entry.key_span.clone(), &entry.value));
        }
    }
    named
}

fn channel(name: &str, span: &Span, node: &Node, desk: &mut Desk<'_>) -> Option<Configured> {
    let mut fields = Fields::of("channel", name, node, desk)?;
    let kind = fields.text_needed("type")?;
    let Some(kind) = KINDS.into_iter().find(|known| known.name == kind) else {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let message = format!("channel {name}: there is no type {kind:?}; there are {}", names.join(", "));
        let nearest = nearest(&kind, names.iter().copied());
        fields.desk().push(Diagnostic::error(Code::Parameter, message).at(span).did_you_mean(nearest));
        return None;
    };
    let language = fields.word("language", &Language::ALL.map(Language::name));
    let language = language.and_then(|at| Language::ALL.get(at).copied()).unwrap_or(Language::En);
    let channel = (kind.build)(&mut fields);
    fields.finish();
    Some(Configured { name: name.to_owned(), kind, language, channel: channel? })
}

/// The states that `severity` can name, and from which on a route takes findings.
const SEVERITIES: [State; 4] = [State::Info, State::Unknown, State::Warn, State::Crit];

fn route(at: usize, node: &Node, names: &[&str], desk: &mut Desk<'_>) -> Option<Route> {
    let number = (at + 1).to_string();
    let mut fields = Fields::of("route", &number, node, desk)?;
    let matches_node = fields.node("match");
    let channels = fields.texts_needed("channels");
    let scope = match fields.word("send", &["changes", "everything"]) {
        Some(1) => Scope::Everything,
        Some(_) | None => Scope::Changes,
    };
    let digest = fields.flag("digest").unwrap_or(true);
    let always = fields.flag("always").unwrap_or(false);
    for name in channels.iter().flatten().filter(|name| !names.contains(&name.as_str())) {
        let hint =
            nearest(name, names.iter().copied()).map_or_else(String::new, |near| format!(", did you mean {near}?"));
        fields.error("channels", format!("there is no channel {name:?}{hint}"));
    }
    let matches = match matches_node {
        Some(node) => matching(&number, node, fields.desk()),
        None => Some(Match::default()),
    };
    fields.finish();
    Some(Route { matches: matches?, channels: channels?, scope, digest, always })
}

fn matching(number: &str, node: &Node, desk: &mut Desk<'_>) -> Option<Match> {
    let mut fields = Fields::of("match of route", number, node, desk)?;
    let severity = fields.word("severity", &SEVERITIES.map(State::name));
    let severity = severity.and_then(|at| SEVERITIES.get(at).copied()).unwrap_or(Match::default().severity);
    let clusters = fields.texts("clusters");
    let hosts = fields.texts("hosts");
    let checks = fields.texts("checks");
    fields.finish();
    Some(Match { severity, clusters, hosts, checks })
}

#[cfg(test)]
mod tests;
