//! Reads agents' clocks from outside.

use super::{Link, LinkError};
use kfleet_model::clock::Offset;
use kfleet_proto::v1::HandshakeResponse;
use std::time::{Duration, Instant};

/// How many round trips are tried; the fastest one has the smallest error and is believed, as NTP's clock filter does
/// (RFC 5905, section 10).
const ROUND_TRIPS: usize = 8;

/// An agent that answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it said of itself.
    pub agent: HandshakeResponse,
    /// How long the first answer took, with the connection.
    pub took: Duration,
    /// Its clock against this machine's.
    pub offset: Offset,
}

/// Asks an agent how it is and what its clock says.
///
/// # Errors
/// When it does not answer, or stops answering.
pub async fn ask(link: &Link) -> Result<Answer, LinkError> {
    let (agent, took, first) = round_trip(link).await?;
    let mut offset = first;
    for _ in 0..ROUND_TRIPS {
        let (_, _, next) = round_trip(link).await?;
        if next.uncertainty_ms < offset.uncertainty_ms {
            offset = next;
        }
    }
    Ok(Answer { agent, took, offset })
}

async fn round_trip(link: &Link) -> Result<(HandshakeResponse, Duration, Offset), LinkError> {
    let (begun, sent) = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let agent = link.handshake().await?;
    let took = begun.elapsed();
    let offset = Offset::of_round_trip(sent, took, agent.unix_ms);
    Ok((agent, took, offset))
}
