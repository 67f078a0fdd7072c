//! How the broker on this host is asked: as its own configuration lets brokers in, or as an operator's client file says.
//!
//! A broker's `server.properties` holds what it needs to call its peers: the protocol of the inter-broker listener,
//! trusted certificates, a name and a password. The agent is root on that host and uses the same, so nobody has to hand
//! out credentials a second time. Where that can not serve (Kerberos, a JAAS file of the JVM, key stores in Java's own
//! formats), the parameter `command_config` names a client file such as Kafka's own tools take.
//! Not here: which listeners there are (`kafka_config`), and the protocols (`kfleet-kafka`).

use super::CollectError;
use crate::host::HostView;
use kfleet_kafka::{Address, ClientTls, KafkaAccess, SaslCredentials, SaslMechanism};
use kfleet_model::BrokerId;
use std::collections::BTreeMap;
use std::path::Path;
use zeroize::Zeroizing;

/// A store of certificates is never near this.
const LIMIT: u64 = 4 * 1024 * 1024;

/// What Debian and the Red Hat family trust: for a client without a trust store of its own.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The mechanisms that this client speaks, the strongest first.
const MECHANISMS: [&str; 3] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];

/// Settings of one file, those of one listener before those of all.
pub(super) struct Settings<'a> {
    /// The file, for messages.
    pub(super) path: &'a str,
    pub(super) all: &'a BTreeMap<String, String>,
    /// `listener.name.internal.`; empty for a client's file.
    pub(super) prefix: String,
}

impl Settings<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let own = if self.prefix.is_empty() { None } else { self.all.get(&format!("{}{key}", self.prefix)) };
        own.or_else(|| self.all.get(key)).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn wrong(&self, why: &str) -> CollectError {
        CollectError::Invalid(format!(
            "{}: {why}; the parameter command_config can name a client file, as Kafka's own tools take one",
            self.path
        ))
    }
}

/// The way in over one protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
///
/// # Errors
/// When something that the protocol needs is missing, can not be read, or is of a kind that this client has not.
pub(super) fn access(
    host: &dyn HostView,
    settings: &Settings<'_>,
    protocol: &str,
    address: Address,
    node: BrokerId,
) -> Result<KafkaAccess, CollectError> {
    let (tls, sasl) = match protocol {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        other => return Err(settings.wrong(&format!("there is no security protocol {other:?}"))),
    };
    let mut access = KafkaAccess::plaintext(address, node);
    if tls {
        let config = client_tls(host, settings)?.config().map_err(|error| settings.wrong(&error.to_string()))?;
        access = access.with_tls(config);
    }
    if sasl {
        access = access.with_sasl(credentials(settings, tls)?);
    }
    Ok(access)
}

fn client_tls(host: &dyn HostView, settings: &Settings<'_>) -> Result<ClientTls, CollectError> {
    let roots = match store(host, settings, "ssl.truststore", "ssl.truststore.certificates")? {
        Some(pem) => pem,
        None => system_roots(host, settings)?,
    };
    // An unset algorithm means https; only an empty one, which the other keys take for unset, switches the check off.
    let key = "ssl.endpoint.identification.algorithm";
    let listed = settings.all.get(&format!("{}{key}", settings.prefix)).or_else(|| settings.all.get(key));
    Ok(ClientTls {
        roots: roots.to_string(),
        identity: identity(host, settings)?,
        any_name: listed.is_some_and(|algorithm| algorithm.trim().is_empty()),
    })
}

/// A store of type PEM, from its file or from the configuration itself (KIP-651).
fn store(
    host: &dyn HostView,
    settings: &Settings<'_>,
    store: &str,
    inline: &str,
) -> Result<Option<Zeroizing<String>>, CollectError> {
    if let Some(pem) = settings.get(inline) {
        return Ok(Some(Zeroizing::new(pem.to_owned())));
    }
    let Some(path) = settings.get(&format!("{store}.location")) else { return Ok(None) };
    match settings.get(&format!("{store}.type")).unwrap_or("JKS") {
        "PEM" => read(host, settings, path).map(Some),
        other => Err(settings.wrong(&format!("{store}.type is {other}, and this agent reads stores of type PEM only"))),
    }
}

fn read(host: &dyn HostView, settings: &Settings<'_>, path: &str) -> Result<Zeroizing<String>, CollectError> {
    let bytes = host.read(Path::new(path), LIMIT)?.ok_or_else(|| settings.wrong(&format!("{path} does not exist")))?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The JVM has authorities of its own where there is no trust store; the system's are the nearest to them.
fn system_roots(host: &dyn HostView, settings: &Settings<'_>) -> Result<Zeroizing<String>, CollectError> {
    for path in SYSTEM_ROOTS {
        if let Some(bytes) = host.read(Path::new(path), LIMIT)? {
            return Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Err(settings.wrong("there is no ssl.truststore, and this host has no list of trusted authorities"))
}

/// The client's certificates and key; none where the store is not PEM: most listeners do not ask for them.
fn identity(host: &dyn HostView, settings: &Settings<'_>) -> Result<Option<(String, Zeroizing<String>)>, CollectError> {
    if let (Some(chain), Some(key)) = (settings.get("ssl.keystore.certificate.chain"), settings.get("ssl.keystore.key"))
    {
        return Ok(Some((chain.to_owned(), Zeroizing::new(key.to_owned()))));
    }
    let asked = settings.get("ssl.client.auth") == Some("required");
    match (settings.get("ssl.keystore.location"), settings.get("ssl.keystore.type").unwrap_or("JKS")) {
        (Some(path), "PEM") => {
            let pem = read(host, settings, path)?;
            Ok(Some((pem.to_string(), pem)))
        }
        (Some(_), other) if asked => Err(settings.wrong(&format!(
            "it wants a client's certificate, ssl.keystore.type is {other}, and this agent reads stores of type PEM only"
        ))),
        (Some(_), _) | (None, _) => Ok(None),
    }
}

/// The first mechanism that is set, that this client speaks, and that a name and password stand beside.
fn credentials(settings: &Settings<'_>, tls: bool) -> Result<SaslCredentials, CollectError> {
    let one = ["sasl.mechanism", "sasl.mechanism.inter.broker.protocol"].into_iter().find_map(|key| settings.get(key));
    let enabled = settings.get("sasl.enabled.mechanisms").unwrap_or_default().split(',').map(str::trim);
    let wanted: Vec<&str> = one.into_iter().chain(enabled).filter(|name| !name.is_empty()).collect();
    for name in MECHANISMS.into_iter().filter(|name| wanted.contains(name)) {
        let Some(jaas) = settings
            .get(&format!("{}.sasl.jaas.config", name.to_lowercase()))
            .or_else(|| settings.get("sasl.jaas.config"))
        else {
            continue;
        };
        if let (Some(user), Some(password)) = (option(jaas, "username"), option(jaas, "password")) {
            return Ok(SaslCredentials::new(mechanism(name, tls), user.as_str(), password));
        }
    }
    let why = match wanted.as_slice() {
        [] => "it names no SASL mechanism".to_owned(),
        wanted if MECHANISMS.iter().all(|name| !wanted.contains(name)) => {
            format!("this agent speaks {} and not {}", MECHANISMS.join(", "), wanted.join(", "))
        }
        wanted => format!("no sasl.jaas.config for {} has a username and a password", wanted.join(", ")),
    };
    Err(settings.wrong(&why))
}

fn mechanism(name: &str, tls: bool) -> SaslMechanism {
    match name {
        "SCRAM-SHA-512" => SaslMechanism::ScramSha512,
        "SCRAM-SHA-256" => SaslMechanism::ScramSha256,
        _ if tls => SaslMechanism::Plain,
        // The broker's peers send the password in the clear too: its configuration says so.
        _ => SaslMechanism::PlainInTheClear,
    }
}

/// The value of an option of a JAAS entry: `CLASS required username="admin" password="s3cret";`. A quoted value may hold
/// escaped characters; one without quotes ends at a blank or the semicolon.
fn option(jaas: &str, name: &str) -> Option<Zeroizing<String>> {
    let mut rest = jaas;
    loop {
        let at = rest.find(name)?;
        let before = rest.get(..at)?.chars().next_back();
        let value = rest.get(at + name.len()..)?.trim_start().strip_prefix('=').map(str::trim_start);
        match value {
            // `user_username="..."` is an option of another name.
            Some(value) if before.is_none_or(|c| c.is_whitespace() || c == ';') => return Some(unquoted(value)),
            Some(_) | None => rest = rest.get(at + name.len()..)?,
        }
    }
}

fn unquoted(value: &str) -> Zeroizing<String> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut out = Zeroizing::new(String::new());
    let mut chars = value.chars().skip(usize::from(quote.is_some()));
    while let Some(c) = chars.next() {
        match quote {
            Some(quote) if c == quote => break,
            Some(_) if c == '\\' => out.extend(chars.next()),
            None if c.is_whitespace() || c == ';' => break,
            Some(_) | None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{FakeHost, Spec};
    use kfleet_config::Properties;

    fn ways(text: &str, prefix: &str, protocol: &str, host: &FakeHost) -> Result<String, String> {
        let all = Properties::parse(text.as_bytes()).to_map();
        let settings = Settings { path: "f", all: &all, prefix: prefix.to_owned() };
        let access = access(host, &settings, protocol, Address::new("k", 1), BrokerId(1));
        access.map(|access| format!("{access:?}")).map_err(|error| error.to_string())
    }

    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required \
                         username=\"admin\" password=\"s3cret\";";

    #[test]
    fn options_of_a_jaas_entry_are_read_as_java_reads_them() {
        for (jaas, user, password) in [
            (SCRAM, Some("admin"), Some("s3cret")),
            (r#"X required user_username="no" username = "a\"b" password='c d';"#, Some("a\"b"), Some("c d")),
            ("X required username=admin password=pw;", Some("admin"), Some("pw")),
            (r#"X required username="admin";"#, Some("admin"), None),
            ("X required useKeyTab=true;", None, None),
        ] {
            let get = |name: &str| option(jaas, name).map(|value| value.to_string());
            assert_eq!((get("username").as_deref(), get("password").as_deref()), (user, password), "{jaas}");
        }
    }

    #[test]
    fn a_listeners_own_settings_come_before_those_of_all() {
        let host = FakeHost::new(&Spec::default());
        let text = format!(
            "sasl.enabled.mechanisms=SCRAM-SHA-512\nlistener.name.internal.scram-sha-512.sasl.jaas.config={SCRAM}\n\
             sasl.jaas.config=X required username=\"other\" password=\"x\";\n"
        );
        let found = ways(&text, "listener.name.internal.", "SASL_PLAINTEXT", &host).unwrap();
        assert!(found.contains("ScramSha512") && found.contains("admin") && !found.contains("s3cret"), "{found}");
        let found = ways(&text, "listener.name.external.", "SASL_PLAINTEXT", &host).unwrap();
        assert!(found.contains("other"), "{found}");
        let client = "sasl.mechanism=PLAIN\nsasl.jaas.config=X required username=\"u\" password=\"p\";\n";
        assert!(ways(client, "", "SASL_PLAINTEXT", &host).unwrap().contains("PlainInTheClear"));
    }

    #[test]
    fn what_can_not_be_used_is_said_with_the_way_out_and_without_secrets() {
        let host = FakeHost::new(&Spec::default());
        let jks = "ssl.truststore.location=/t.jks\nssl.truststore.password=s3cret\n";
        let gssapi = "sasl.mechanism.inter.broker.protocol=GSSAPI\n";
        let file = "sasl.enabled.mechanisms=SCRAM-SHA-256\n";
        let pem = "ssl.truststore.type=PEM\nssl.truststore.location=/none.pem\n";
        for (text, protocol, wanted) in [
            (jks, "SSL", "ssl.truststore.type is JKS, and this agent reads stores of type PEM only"),
            (pem, "SSL", "/none.pem does not exist"),
            ("", "SSL", "this host has no list of trusted authorities"),
            (gssapi, "SASL_PLAINTEXT", "this agent speaks SCRAM-SHA-512, SCRAM-SHA-256, PLAIN and not GSSAPI"),
            (file, "SASL_PLAINTEXT", "no sasl.jaas.config for SCRAM-SHA-256 has a username and a password"),
            ("", "SASL_PLAINTEXT", "it names no SASL mechanism"),
            ("", "TLS", "there is no security protocol \"TLS\""),
        ] {
            let error = ways(text, "", protocol, &host).unwrap_err();
            assert!(error.starts_with("f: ") && error.contains(wanted), "{error}");
            assert!(error.ends_with("as Kafka's own tools take one") && !error.contains("s3cret"), "{error}");
        }
    }
}
