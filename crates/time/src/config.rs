//! The configuration of chrony, written out of what is wanted (chrony.conf(5)).

use core::net::IpAddr;
use std::fmt::Write;

/// Above this many seconds the clock is set at a start in place of being slewed, and so at each of the first updates: the
/// values that chrony.conf(5), "makestep", gives as usual.
const STEP_S: u32 = 1;
const STEP_UPDATES: u32 = 3;

/// Where chronyd keeps what it learnt of the clock's drift; its packages make the folder.
const DRIFT_FILE: &str = "/var/lib/chrony/drift";

/// Whether chronyd may set the clock in place of slewing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPolicy {
    /// Never by itself.
    Never,
    /// When the clock is more than a second off at its start.
    AtStart,
}

/// What chrony shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Servers, by address or name.
    pub servers: Vec<String>,
    /// Names that stand for several servers.
    pub pools: Vec<String>,
    /// Whether the clock may be set.
    pub step: StepPolicy,
    /// Networks that are served.
    pub allow: Vec<String>,
    /// The stratum under which the host's own time is served where it has no source.
    pub local_stratum: Option<u8>,
    /// The largest root distance that a source may have, in seconds.
    pub max_distance_s: Option<u32>,
    /// Further lines.
    pub directives: Vec<String>,
}

/// What can not be put into the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A source that is no name and no address.
    #[error("{key} has {value:?}, which is neither an address nor the name of a host")]
    Source {
        /// Which list.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A network that is none.
    #[error("allow has {0:?}, which is no network such as 10.1.0.0/16 and not all")]
    Network(String),
    /// A stratum that chrony does not take.
    #[error("local_stratum is {0}; chrony takes 1 to 15")]
    Stratum(u8),
    /// Nothing to follow and nothing to serve.
    #[error("one of servers, pools and local_stratum is needed")]
    Nothing,
    /// A line that would be two.
    #[error("directives has {0:?}; each is one line that is not empty")]
    Directive(String),
}

impl Config {
    /// Checks what the text could not hold.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.servers.is_empty() && self.pools.is_empty() && self.local_stratum.is_none() {
            return Err(ConfigError::Nothing);
        }
        for (key, values) in [("servers", &self.servers), ("pools", &self.pools)] {
            if let Some(value) = values.iter().find(|value| !is_host(value)) {
                return Err(ConfigError::Source { key, value: value.clone() });
            }
        }
        if let Some(network) = self.allow.iter().find(|network| !is_network(network)) {
            return Err(ConfigError::Network(network.clone()));
        }
        if let Some(stratum) = self.local_stratum.filter(|stratum| !(1..=15).contains(stratum)) {
            return Err(ConfigError::Stratum(stratum));
        }
        if let Some(line) = self.directives.iter().find(|line| line.trim().is_empty() || line.contains(['\n', '\r'])) {
            return Err(ConfigError::Directive(line.clone()));
        }
        Ok(())
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("# Kept by kfleet (time_sync): what is written here by hand is overwritten.\n");
        // `write!` to a text can not fail.
        let mut line = |line: std::fmt::Arguments<'_>| _ = writeln!(text, "{line}");
        for server in &self.servers {
            line(format_args!("server {server} iburst"));
        }
        for pool in &self.pools {
            line(format_args!("pool {pool} iburst"));
        }
        line(format_args!("driftfile {DRIFT_FILE}"));
        match self.step {
            StepPolicy::Never => {}
            StepPolicy::AtStart => line(format_args!("makestep {STEP_S} {STEP_UPDATES}")),
        }
        line(format_args!("rtcsync"));
        if let Some(seconds) = self.max_distance_s {
            line(format_args!("maxdistance {seconds}"));
        }
        if let Some(stratum) = self.local_stratum {
            line(format_args!("local stratum {stratum}"));
        }
        for network in &self.allow {
            line(format_args!("allow {network}"));
        }
        for directive in &self.directives {
            line(format_args!("{}", directive.trim()));
        }
        text
    }

    /// From how far on chronyd sets the clock at its start, in seconds; none when it never does.
    #[must_use]
    pub fn steps_from_s(&self) -> Option<f64> {
        match self.step {
            StepPolicy::Never => None,
            StepPolicy::AtStart => Some(f64::from(STEP_S)),
        }
    }

    /// The names of all sources.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().chain(&self.pools).map(String::as_str)
    }
}

/// An address, or a name as DNS has them (RFC 1123, section 2.1).
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        label.len() <= 63
            && edge(label.chars().next())
            && edge(label.chars().last())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // A text of digits and dots is an address with a mistake.
    let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.len() <= 253 && !numeric && text.trim_end_matches('.').split('.').all(label)
}

/// `all`, an address, or one with a number of bits that it has.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return text == "all" };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> Config {
        Config {
            servers: vec!["10.0.0.1".into(), "ntp.example".into()],
            pools: vec!["pool.example".into()],
            step: StepPolicy::AtStart,
            allow: Vec::new(),
            local_stratum: None,
            max_distance_s: None,
            directives: Vec::new(),
        }
    }

    #[test]
    fn a_client_and_a_server_are_written_as_chrony_reads_them() {
        let client = "# Kept by kfleet (time_sync): what is written here by hand is overwritten.\n\
            server 10.0.0.1 iburst\nserver ntp.example iburst\npool pool.example iburst\n\
            driftfile /var/lib/chrony/drift\nmakestep 1 3\nrtcsync\n";
        assert_eq!(config().check(), Ok(()));
        assert_eq!(config().text(), client);
        let server = Config {
            servers: Vec::new(),
            pools: Vec::new(),
            step: StepPolicy::Never,
            allow: vec!["10.0.0.0/8".into(), "all".into(), "fd00::/64".into()],
            local_stratum: Some(8),
            max_distance_s: Some(2),
            directives: vec![" logdir /var/log/chrony".into()],
        };
        assert_eq!(server.check(), Ok(()));
        assert!(server.text().ends_with(
            "rtcsync\nmaxdistance 2\nlocal stratum 8\nallow 10.0.0.0/8\nallow all\nallow fd00::/64\nlogdir /var/log/chrony\n"
        ));
    }

    #[test]
    fn what_could_be_more_than_one_word_is_refused() {
        let none = Config { servers: Vec::new(), pools: Vec::new(), ..config() };
        assert_eq!(none.check(), Err(ConfigError::Nothing));
        for server in ["", "a b", "a\nallow all", "-a", "a-", "10.0.0", "10.0.0.1.", "a..b", "host!", "héost"] {
            let wrong = Config { servers: vec![server.into()], ..config() };
            assert_eq!(wrong.check(), Err(ConfigError::Source { key: "servers", value: server.into() }), "{server:?}");
        }
        for network in ["10.0.0.0/33", "fd00::/129", "10.0.0.0/", "any", "0/0 \ndeny"] {
            let wrong = Config { allow: vec![network.into()], ..config() };
            assert_eq!(wrong.check(), Err(ConfigError::Network(network.into())), "{network:?}");
        }
        for stratum in [0, 16] {
            assert!(Config { local_stratum: Some(stratum), ..config() }.check().is_err());
        }
        assert!(Config { directives: vec!["a\nb".into()], ..config() }.check().is_err());
    }

    /// A value as people write it, or one that tries to be more.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z]{1,5}(\\.[a-z]{1,5}){0,2}", "10\\.[0-9]{1,3}\\.0\\.1(/[0-9]{1,2})?", "[a-z0-9./: \n#-]{0,12}"]
    }

    proptest! {
        /// What is accepted gives exactly its own lines: no source or network can bring another directive with it.
        #[test]
        fn a_value_is_never_more_than_its_own_line(server in value(), network in value()) {
            let config = Config { servers: vec![server.clone()], allow: vec![network.clone()], ..config() };
            if config.check().is_ok() {
                let text = config.text();
                let lines: Vec<&str> = text.lines().collect();
                prop_assert_eq!(lines.len(), 7);
                prop_assert_eq!(lines[1], format!("server {server} iburst"));
                prop_assert_eq!(lines[6], format!("allow {network}"));
            } else {
                let host = Config { allow: Vec::new(), ..config.clone() }.check().is_err();
                let net = Config { servers: Vec::new(), ..config }.check().is_err();
                prop_assert!(host || net, "refused for nothing");
            }
        }
    }
}
