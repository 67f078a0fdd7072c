//! How a broker stands with its own log directories: DescribeLogDirs (KIP-113, KIP-827).
//!
//! A broker that lost a disk serves the rest of them and says so only here. Not here: what a directory holds.

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::DescribeLogDirsRequest;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::protocol::Request;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// One log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Why the broker does not use it; none when it does.
    pub error: Option<ErrorCode>,
    /// Bytes of its volume; none before Kafka 3.3 and for a directory that can not be read.
    pub total_bytes: Option<u64>,
    /// Bytes of its volume that the broker may still write; as `total_bytes`.
    pub usable_bytes: Option<u64>,
}

/// Reads the directories of the given broker by their paths.
///
/// # Errors
/// When the broker can not be reached or refuses: the principal needs `Describe` on the cluster.
pub async fn log_dirs(access: &KafkaAccess, deadline: Instant) -> Result<BTreeMap<String, LogDir>, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    // With no partition named, the directories come without their contents, which can be megabytes.
    let request = DescribeLogDirsRequest::default().with_topics(Some(Vec::new()));
    let answer = broker.call(&request, deadline).await?;
    if let Some(code) = ErrorCode::check(answer.error_code) {
        return Err(broker.refused(DescribeLogDirsRequest::KEY, "the log directories", code.0, None));
    }
    // Before version 3 a refusal has no code of its own: the list is empty, and no broker is without a directory.
    if answer.results.is_empty() {
        let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Err(broker.refused(DescribeLogDirsRequest::KEY, "the log directories", code.0, None));
    }
    Ok(answer.results.iter().map(|result| (result.log_dir.to_string(), log_dir(result))).collect())
}

/// A number that is not known is -1.
fn log_dir(result: &DescribeLogDirsResult) -> LogDir {
    LogDir {
        error: ErrorCode::check(result.error_code),
        total_bytes: u64::try_from(result.total_bytes).ok(),
        usable_bytes: u64::try_from(result.usable_bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broker, answer, answers_versions};
    use kafka_protocol::messages::DescribeLogDirsResponse;
    use kafka_protocol::protocol::StrBytes;
    use kfleet_model::BrokerId;
    use std::time::Duration;

    fn result(path: &'static str, code: i16, total: i64, usable: i64) -> DescribeLogDirsResult {
        DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str(path))
            .with_error_code(code)
            .with_total_bytes(total)
            .with_usable_bytes(usable)
    }

    /// Asks a broker that speaks versions up to `highest`.
    async fn ask(highest: i16, response: DescribeLogDirsResponse) -> Result<BTreeMap<String, LogDir>, KafkaError> {
        let broker = Broker::start(move |asked| match asked.api {
            18 => Some(answers_versions(&asked, &[(35, 1, highest)])),
            _ => Some(answer::<DescribeLogDirsRequest>(&asked, &response)),
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        log_dirs(&access, Instant::now() + Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_directory_has_its_error_and_the_sizes_that_the_broker_knows() {
        let lost = ErrorCode(56);
        let new = DescribeLogDirsResponse::default()
            .with_results(vec![result("/d1", 0, 1000, 400), result("/d2", 56, -1, -1)]);
        let dir = |error, total_bytes, usable_bytes| LogDir { error, total_bytes, usable_bytes };
        let wanted = BTreeMap::from([
            ("/d1".to_owned(), dir(None, Some(1000), Some(400))),
            ("/d2".to_owned(), dir(Some(lost), None, None)),
        ]);
        assert_eq!(ask(4, new).await.unwrap(), wanted);
        let old = DescribeLogDirsResponse::default().with_results(vec![result("/d1", 0, -1, -1)]);
        assert_eq!(ask(3, old).await.unwrap()["/d1"], dir(None, None, None), "sizes came with version 4");
    }

    #[tokio::test]
    async fn a_refusal_is_one_in_every_version() {
        let refusals = [(4, DescribeLogDirsResponse::default().with_error_code(31)), (1, Default::default())];
        for (highest, response) in refusals {
            let error = ask(highest, response).await.unwrap_err();
            assert!(error.is_refused_with(ErrorCode::CLUSTER_AUTHORIZATION_FAILED), "{error}");
        }
    }
}
