//! Who may do what: the access control lists of a cluster, read, added to and taken from.
//!
//! The numbers are those of Kafka's protocol (`AclOperation`, `ResourceType` and their like in `org.apache.kafka.common`);
//! a binding with one that is not known here is left alone and counted.

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use tokio::time::Instant;

/// `ANY` of each of the protocol's enumerations.
const ANY: i8 = 1;

/// Pattern types are in the messages from version 1 on (Kafka 2.0).
const AT_LEAST: i16 = 1;

/// Makes an enumeration whose words are Kafka's in lower case, with the protocol's numbers.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$word_doc])* $word),+ }

        impl $name {
            /// All words, as written in playbooks.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            fn code(self) -> i8 {
                match self { $(Self::$word => $code),+ }
            }

            fn of(code: i8) -> Option<Self> {
                match code { $($code => Some(Self::$word),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$word => $text),+ })
            }
        }
    };
}

words! {
    /// What is protected.
    ResourceType {
        /// Topics.
        Topic = 2 "topic",
        /// Consumer groups.
        Group = 3 "group",
        /// The cluster itself; its name is always `kafka-cluster`.
        Cluster = 4 "cluster",
        /// Transactional ids.
        TransactionalId = 5 "transactional_id",
        /// Delegation tokens.
        DelegationToken = 6 "delegation_token",
        /// Users, for tokens on their behalf.
        User = 7 "user",
    }
}

words! {
    /// How a resource's name is meant.
    PatternType {
        /// Exactly it; `*` means all.
        Literal = 3 "literal",
        /// Everything that begins so.
        Prefixed = 4 "prefixed",
    }
}

words! {
    /// What may be done.
    Operation {
        /// Everything.
        All = 2 "all",
        /// Read.
        Read = 3 "read",
        /// Write.
        Write = 4 "write",
        /// Create.
        Create = 5 "create",
        /// Delete.
        Delete = 6 "delete",
        /// Alter.
        Alter = 7 "alter",
        /// Describe.
        Describe = 8 "describe",
        /// What brokers do among themselves.
        ClusterAction = 9 "cluster_action",
        /// Read configurations.
        DescribeConfigs = 10 "describe_configs",
        /// Change configurations.
        AlterConfigs = 11 "alter_configs",
        /// Write idempotently, before Kafka 2.8.
        IdempotentWrite = 12 "idempotent_write",
        /// Make tokens.
        CreateTokens = 13 "create_tokens",
        /// See tokens.
        DescribeTokens = 14 "describe_tokens",
        /// Take part in two-phase commits (Kafka 4.1).
        TwoPhaseCommit = 15 "two_phase_commit",
    }
}

words! {
    /// Whether it is let through.
    Permission {
        /// Not, whatever another binding says.
        Deny = 2 "deny",
        /// It is.
        Allow = 3 "allow",
    }
}

/// One line of the lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclBinding {
    /// Who: `User:alice`.
    pub principal: String,
    /// What is protected.
    pub resource: ResourceType,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: PatternType,
    /// What may be done.
    pub operation: Operation,
    /// From which host; `*` for all.
    pub host: String,
    /// Whether it may.
    pub permission: Permission,
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, resource, name, pattern, operation, host, permission } = self;
        write!(f, "{permission} {principal} {operation} on {resource} {name:?}")?;
        if *pattern == PatternType::Prefixed {
            f.write_str(" (prefixed)")?;
        }
        if host == "*" { Ok(()) } else { write!(f, " from {host}") }
    }
}

/// The lists as a broker knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acls {
    /// The bindings.
    pub bindings: BTreeSet<AclBinding>,
    /// Bindings with a word that is not known here.
    pub unknown: usize,
}

/// Reads the lists.
///
/// # Errors
/// When the broker refuses; [`ErrorCode::SECURITY_DISABLED`] says that it has no authorizer.
pub async fn acls(access: &KafkaAccess, deadline: Instant) -> Result<Acls, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let answer = broker.call_at_least(&request, AT_LEAST, deadline).await?;
    if let Some(code) = ErrorCode::check(answer.error_code) {
        let message = answer.error_message.as_deref();
        return Err(broker.refused(DescribeAclsRequest::KEY, "the lists", code.0, message));
    }
    let mut acls = Acls::default();
    for resource in &answer.resources {
        for acl in &resource.acls {
            match binding(resource, acl) {
                Some(binding) => _ = acls.bindings.insert(binding),
                None => acls.unknown += 1,
            }
        }
    }
    Ok(acls)
}

fn binding(resource: &DescribeAclsResource, acl: &AclDescription) -> Option<AclBinding> {
    Some(AclBinding {
        principal: acl.principal.to_string(),
        resource: ResourceType::of(resource.resource_type)?,
        name: resource.resource_name.to_string(),
        pattern: PatternType::of(resource.pattern_type)?,
        operation: Operation::of(acl.operation)?,
        host: acl.host.to_string(),
        permission: Permission::of(acl.permission_type)?,
    })
}

/// Adds bindings. Those that are there already stay as they are, so a repeat is harmless.
///
/// # Errors
/// When the broker refuses; the first binding that was refused is named, those before it are made.
pub async fn create_acls(
    access: &KafkaAccess,
    bindings: &BTreeSet<AclBinding>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    if bindings.is_empty() {
        return Ok(());
    }
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let creation = |binding: &AclBinding| {
        AclCreation::default()
            .with_resource_type(binding.resource.code())
            .with_resource_name(text(&binding.name))
            .with_resource_pattern_type(binding.pattern.code())
            .with_principal(text(&binding.principal))
            .with_host(text(&binding.host))
            .with_operation(binding.operation.code())
            .with_permission_type(binding.permission.code())
    };
    let request = CreateAclsRequest::default().with_creations(bindings.iter().map(creation).collect());
    let answer = broker.call_at_least(&request, AT_LEAST, deadline).await?;
    for (binding, result) in bindings.iter().zip(&answer.results) {
        if let Some(code) = ErrorCode::check(result.error_code) {
            let message = result.error_message.as_deref();
            return Err(broker.refused(CreateAclsRequest::KEY, binding.to_string(), code.0, message));
        }
    }
    Ok(())
}

/// Takes bindings away, each exactly as it is. Those that are gone already are fine.
///
/// # Errors
/// When the broker refuses; the first binding that was refused is named.
pub async fn delete_acls(
    access: &KafkaAccess,
    bindings: &BTreeSet<AclBinding>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    if bindings.is_empty() {
        return Ok(());
    }
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let filter = |binding: &AclBinding| {
        DeleteAclsFilter::default()
            .with_resource_type_filter(binding.resource.code())
            .with_resource_name_filter(Some(text(&binding.name)))
            .with_pattern_type_filter(binding.pattern.code())
            .with_principal_filter(Some(text(&binding.principal)))
            .with_host_filter(Some(text(&binding.host)))
            .with_operation(binding.operation.code())
            .with_permission_type(binding.permission.code())
    };
    let request = DeleteAclsRequest::default().with_filters(bindings.iter().map(filter).collect());
    let answer = broker.call_at_least(&request, AT_LEAST, deadline).await?;
    for (binding, result) in bindings.iter().zip(&answer.filter_results) {
        let own = ErrorCode::check(result.error_code).map(|code| (code, result.error_message.as_deref()));
        let each = || {
            let mut matches = result.matching_acls.iter();
            matches.find_map(|acl| Some((ErrorCode::check(acl.error_code)?, acl.error_message.as_deref())))
        };
        if let Some((code, message)) = own.or_else(each) {
            return Err(broker.refused(DeleteAclsRequest::KEY, binding.to_string(), code.0, message));
        }
    }
    Ok(())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broker, answer, answers_versions};
    use kafka_protocol::messages::create_acls_response::AclCreationResult;
    use kafka_protocol::messages::{CreateAclsResponse, DescribeAclsResponse};
    use kfleet_model::BrokerId;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn alice(operation: Operation) -> AclBinding {
        AclBinding {
            principal: "User:alice".to_owned(),
            resource: ResourceType::Topic,
            name: "orders".to_owned(),
            pattern: PatternType::Prefixed,
            operation,
            host: "*".to_owned(),
            permission: Permission::Allow,
        }
    }

    #[test]
    fn every_word_has_its_number_and_comes_back_from_it() {
        for code in i8::MIN..=i8::MAX {
            for back in [
                ResourceType::of(code).map(ResourceType::code),
                PatternType::of(code).map(PatternType::code),
                Operation::of(code).map(Operation::code),
                Permission::of(code).map(Permission::code),
            ] {
                assert!(back.is_none_or(|back| back == code), "{code}");
            }
        }
        assert_eq!(Operation::WORDS.len(), (i8::MIN..=i8::MAX).filter(|&code| Operation::of(code).is_some()).count());
        for word in Operation::WORDS {
            let parsed: Operation = serde_json::from_value((*word).into()).unwrap();
            assert_eq!(parsed.to_string(), *word);
        }
    }

    #[tokio::test]
    async fn lists_are_read_and_what_is_not_known_is_counted() {
        let acl = |operation: i8| {
            AclDescription::default()
                .with_principal(text("User:alice"))
                .with_host(text("*"))
                .with_operation(operation)
                .with_permission_type(3)
        };
        let resource = DescribeAclsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_pattern_type(4)
            .with_acls(vec![acl(3), acl(99)]);
        let response = DescribeAclsResponse::default().with_resources(vec![resource]);
        let broker = Broker::start(move |asked| match asked.api {
            18 => Some(answers_versions(&asked, &[(18, 0, 3), (29, 1, 3)])),
            _ => Some(answer::<DescribeAclsRequest>(&asked, &response)),
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let found = acls(&access, soon()).await.unwrap();
        assert_eq!(found, Acls { bindings: BTreeSet::from([alice(Operation::Read)]), unknown: 1 });
    }

    #[tokio::test]
    async fn the_binding_that_is_refused_is_named() {
        let refused = AclCreationResult::default().with_error_code(54).with_error_message(Some(text("no authorizer")));
        let results = vec![AclCreationResult::default(), refused];
        let response = CreateAclsResponse::default().with_results(results);
        let broker = Broker::start(move |asked| match asked.api {
            18 => Some(answers_versions(&asked, &[(18, 0, 3), (30, 1, 3)])),
            _ => Some(answer::<CreateAclsRequest>(&asked, &response)),
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let wanted = BTreeSet::from([alice(Operation::Read), alice(Operation::Write)]);
        let error = create_acls(&access, &wanted, soon()).await.unwrap_err().to_string();
        assert!(error.contains("allow User:alice write on topic \"orders\" (prefixed)"), "{error}");
        assert!(error.contains("SECURITY_DISABLED"), "{error}");
        create_acls(&access, &BTreeSet::new(), soon()).await.unwrap();
    }
}
