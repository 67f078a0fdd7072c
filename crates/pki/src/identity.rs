//! Who a certificate speaks for.
//!
//! Purpose: the one name of a certificate as a type, its text form and its strict reading.
//! Place in the flow: certificates are made with [`Identity::uri`]; the TLS verifiers read peers with [`identity_of`].
//! Not here: whether the certificate can be believed. That is the chain check of `verify.rs`, and it comes first.
//!
//! Grammar: `spiffe://<fleet>/agent/<host>` or `spiffe://<fleet>/operator/<name>`; the three names follow the rules of
//! [`kfleet_model::HostName`], so no percent sign, port, query, empty part or second slash can occur.

use kfleet_model::ids::NameError;
use kfleet_model::{FleetName, HostName, OperatorName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const SCHEME: &str = "spiffe://";

/// The two kinds of certificate holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A host's agent: it answers connections and never opens one.
    Agent,
    /// A person or program that calls agents and never answers.
    Operator,
}

impl Role {
    /// The word for the role in a URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    /// The role at the other end of a connection.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Agent => Self::Operator,
            Self::Operator => Self::Agent,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The holder inside its fleet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The agent of this host.
    Agent(HostName),
    /// This operator.
    Operator(OperatorName),
}

/// The one name that a certificate carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    /// The fleet whose authorities speak for the holder.
    pub fleet: FleetName,
    /// The holder.
    pub subject: Subject,
}

impl Identity {
    /// The identity of a host's agent.
    #[must_use]
    pub fn agent(fleet: FleetName, host: HostName) -> Self {
        Self { fleet, subject: Subject::Agent(host) }
    }

    /// The identity of an operator.
    #[must_use]
    pub fn operator(fleet: FleetName, name: OperatorName) -> Self {
        Self { fleet, subject: Subject::Operator(name) }
    }

    /// Whether it is an agent or an operator.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.subject {
            Subject::Agent(_) => Role::Agent,
            Subject::Operator(_) => Role::Operator,
        }
    }

    /// The host's or operator's name without fleet and role.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.subject {
            Subject::Agent(host) => host.as_str(),
            Subject::Operator(name) => name.as_str(),
        }
    }

    /// The host, when it is an agent.
    #[must_use]
    pub fn host(&self) -> Option<&HostName> {
        match &self.subject {
            Subject::Agent(host) => Some(host),
            Subject::Operator(_) => None,
        }
    }

    /// The text that stands in the certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.fleet, self.role(), self.name())
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let fail = |why: &str| IdentityError::Uri { uri: shown(uri), why: why.to_owned() };
        let (fleet, role, name) = split(uri)
            .ok_or_else(|| fail("it must read spiffe://<fleet>/agent/<host> or spiffe://<fleet>/operator/<name>"))?;
        // The name error's own text would repeat the peer's text unbounded; its rule is enough beside the URI.
        let broken = |error: NameError| fail(&format!("{}: {}", error.kind, error.why));
        let fleet = FleetName::new(fleet).map_err(broken)?;
        match role {
            "agent" => HostName::new(name).map(|host| Self::agent(fleet, host)).map_err(broken),
            "operator" => OperatorName::new(name).map(|name| Self::operator(fleet, name)).map_err(broken),
            _ => Err(fail("the role must be 'agent' or 'operator'")),
        }
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;
    fn try_from(uri: String) -> Result<Self, IdentityError> {
        uri.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> String {
        identity.to_string()
    }
}

/// Why no identity can be taken from a certificate or text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not one X.509 certificate.
    #[error("it is not a readable X.509 certificate: {why}")]
    Unreadable {
        /// What the parser met.
        why: String,
    },
    /// The certificate names nobody.
    #[error("the certificate carries no name (no URI in its subject alternative names)")]
    Missing,
    /// The certificate names more than one holder. Taking the first would let a certificate speak for two.
    #[error("the certificate carries {} names ({}), and exactly one is allowed", names.len(), names.join(", "))]
    Several {
        /// All of them, made safe to print.
        names: Vec<String>,
    },
    /// The only name is of another kind than a URI.
    #[error("the certificate's name {name} is not a URI")]
    NotUri {
        /// The name with its kind, made safe to print.
        name: String,
    },
    /// The URI does not follow the grammar.
    #[error("the name {uri} is not one of kfleet's: {why}")]
    Uri {
        /// The URI, made safe to print.
        uri: String,
        /// The rule that it breaks.
        why: String,
    },
}

/// Reads the one name of a certificate.
///
/// # Errors
/// When the bytes are no certificate, when it carries no name, more than one name of any kind, a name that is not a
/// URI, or a URI outside the grammar.
pub fn identity_of(der: &[u8]) -> Result<Identity, IdentityError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| IdentityError::Unreadable { why: error.to_string() })?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable { why: format!("{} bytes follow its end", rest.len()) });
    }
    identity_in(&certificate)
}

/// The same for a certificate that has been parsed already.
pub(crate) fn identity_in(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    only_uri(certificate)?.parse()
}

/// The only name of the certificate, which must be a URI.
pub(crate) fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| IdentityError::Unreadable { why: format!("subject alternative names: {error}") })?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    match names {
        [] => Err(IdentityError::Missing),
        [GeneralName::URI(uri)] => Ok(uri),
        [other] => Err(IdentityError::NotUri { name: describe(other) }),
        several => Err(IdentityError::Several { names: several.iter().take(4).map(describe).collect() }),
    }
}

/// Splits `spiffe://a/b/c` into its three parts; nothing more and nothing less is allowed.
pub(crate) fn split(uri: &str) -> Option<(&str, &str, &str)> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

/// Text of a peer, made safe for logs and terminals: control characters escaped, length bounded.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut safe: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        safe.push_str("...");
    }
    safe
}

/// A name of any kind, for messages.
pub(crate) fn describe(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(uri) => shown(uri),
        GeneralName::DNSName(name) => format!("DNS:{}", shown(name)),
        GeneralName::RFC822Name(name) => format!("email:{}", shown(name)),
        GeneralName::IPAddress(bytes) => format!("IP:{bytes:?}"),
        GeneralName::OtherName(..) => "an other-name".to_owned(),
        GeneralName::X400Address(_) => "an X.400 address".to_owned(),
        GeneralName::DirectoryName(_) => "a directory name".to_owned(),
        GeneralName::EDIPartyName(_) => "an EDI party name".to_owned(),
        GeneralName::RegisteredID(_) => "a registered id".to_owned(),
        GeneralName::Invalid(..) => "an unreadable name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn the_two_forms_are_read_and_written_back() {
        for (text, role, name) in [
            ("spiffe://lab/agent/kafka-1.example.org", Role::Agent, "kafka-1.example.org"),
            ("spiffe://prod_eu/operator/li.wei", Role::Operator, "li.wei"),
        ] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!((identity.role(), identity.name(), identity.uri().as_str()), (role, name, text));
            assert_eq!(identity_of(&certificate(vec![uri(text)])), Ok(identity));
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        for text in [
            "",
            "spiffe://",
            "spiffe://lab",
            "spiffe://lab/agent",
            "spiffe://lab/agent/",
            "spiffe:///agent/h",
            "spiffe://lab/agent/h/",
            "spiffe://lab/agent/h/x",
            "spiffe://lab/agent//h",
            "spiffe://lab/Agent/h",
            "spiffe://lab/root/h",
            "spiffe://lab/authority/agents",
            "SPIFFE://lab/agent/h",
            "https://lab/agent/h",
            "spiffe://u@lab/agent/h",
            "spiffe://lab:1/agent/h",
            "spiffe://lab/agent/h?x",
            "spiffe://lab/agent/h#x",
            "spiffe://lab/agent/%68",
            "spiffe://lab/agent/..",
            "spiffe://lab/agent/h\n",
            " spiffe://lab/agent/h",
        ] {
            let result = text.parse::<Identity>();
            assert!(matches!(result, Err(IdentityError::Uri { .. })), "{text:?} gave {result:?}");
        }
    }

    #[test]
    fn a_certificate_with_other_than_one_uri_is_refused() {
        let good = || uri("spiffe://lab/agent/h");
        let dns = || SanType::DnsName("h".try_into().unwrap());
        let ip = || SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(identity_of(&certificate(vec![])), Err(IdentityError::Missing));
        assert!(matches!(identity_of(&certificate(vec![dns()])), Err(IdentityError::NotUri { .. })));
        for names in [
            vec![good(), uri("spiffe://lab/operator/o")],
            vec![good(), good()],
            vec![good(), dns()],
            vec![ip(), good()],
        ] {
            assert!(matches!(identity_of(&certificate(names)), Err(IdentityError::Several { .. })));
        }
        let mut trailing = certificate(vec![good()]);
        trailing.push(0);
        assert!(matches!(identity_of(&trailing), Err(IdentityError::Unreadable { .. })));
    }

    #[test]
    fn a_peers_text_reaches_a_message_without_control_characters() {
        let text = format!("spiffe://lab/agent/\u{1b}[2J{}", "x".repeat(4000));
        let message = text.parse::<Identity>().unwrap_err().to_string();
        assert!(!message.contains('\u{1b}') && message.len() < 600, "{message}");
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics_and_accepts_only_what_it_writes(text in ".{0,80}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.uri(), text);
            }
        }

        #[test]
        fn reading_text_near_the_grammar_never_panics(text in "spiffe://[a-z./%\u{0}-]{0,8}/(agent|operator|x)/[a-z./%-]{0,8}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.uri(), text);
            }
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(identity_of(&bytes).is_err());
        }

        #[test]
        fn reading_a_damaged_certificate_never_panics(at in 0usize..300, bits in 1u8..=255, cut in 0usize..300) {
            static GOOD: std::sync::LazyLock<Vec<u8>> =
                std::sync::LazyLock::new(|| certificate(vec![uri("spiffe://lab/agent/h")]));
            let mut damaged = GOOD.clone();
            let at = at % damaged.len();
            damaged[at] ^= bits;
            let before = identity_of(&damaged);
            damaged.truncate(damaged.len() - cut % damaged.len());
            let after = identity_of(&damaged);
            prop_assert!(cut % GOOD.len() == 0 || after.is_err(), "{:?} then {:?}", before, after);
        }
    }
}
