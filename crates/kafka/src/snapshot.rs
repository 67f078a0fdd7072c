//! One broker's view of its cluster.
//!
//! The view must be that broker's own: the rules compare what two brokers say, and a request that hopped to another
//! broker would compare that one with itself. So Metadata and configurations come over the one connection to the
//! given broker, whose id is checked first. Only the list of reassignments, which none but the active controller
//! keeps, comes from there.
//!
//! The list of reassignments is read after Metadata. One that began before is then in it. One that ended between the
//! two reads is not, and Metadata may still show its old replicas as assigned; that does no harm, as a reassignment
//! ends only when every replica that stays is in the ISR.
//!
//! A cluster in the middle of its migration from ZooKeeper to KRaft is read as one in ZooKeeper mode.

mod assemble;
pub(crate) mod requests;

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::KafkaError;
use crate::routing::{is_kraft, live_controller};
use assemble::{Parts, assemble};
use kfleet_model::snapshot::{KafkaMode, KafkaSnapshot};
use tokio::time::Instant;

/// How often the cluster is read again because a topic went away between two requests.
const ATTEMPTS: u32 = 5;

/// Reads one broker's view of its cluster.
///
/// In ZooKeeper mode without an active controller the snapshot says so, and its list of reassignments is empty
/// because nobody can tell.
///
/// # Errors
/// When the broker can not be reached, is another one than the access says, is not registered, or gives an incomplete
/// answer; [`KafkaError::Timeout`] at the deadline, which is also how a KRaft cluster without quorum shows.
pub async fn kafka_snapshot(access: &KafkaAccess, deadline: Instant) -> Result<KafkaSnapshot, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    requests::verify_node(&mut broker, access.node(), deadline).await?;
    for attempt in 1..=ATTEMPTS {
        if let Some(snapshot) = read_once(access, &mut broker, deadline).await? {
            return Ok(snapshot);
        }
        tracing::debug!(broker = %broker.broker(), attempt, "a topic was deleted while the cluster was read");
    }
    Err(KafkaError::Unsettled { broker: broker.broker().clone(), attempts: ATTEMPTS })
}

/// None when a topic was deleted between the requests.
async fn read_once(
    access: &KafkaAccess,
    broker: &mut Connection,
    deadline: Instant,
) -> Result<Option<KafkaSnapshot>, KafkaError> {
    let metadata = requests::metadata(broker, deadline).await?;
    let Some(min_isr) = requests::min_isr(broker, &metadata, deadline).await? else { return Ok(None) };
    let (mode, reassignments) = if is_kraft(broker) {
        let quorum = requests::quorum(broker, deadline).await?;
        (KafkaMode::Kraft { quorum }, requests::reassignments(access, broker, deadline).await?)
    } else {
        match live_controller(&metadata) {
            Some(id) => {
                let reassignments = requests::reassignments(access, broker, deadline).await?;
                (KafkaMode::ZooKeeper { active_controller: Some(id) }, reassignments)
            }
            None => (KafkaMode::ZooKeeper { active_controller: None }, Default::default()),
        }
    };
    assemble(Parts { broker: broker.broker(), node: access.node(), metadata, min_isr, mode, reassignments }).map(Some)
}
