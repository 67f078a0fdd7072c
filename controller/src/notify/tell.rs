//! Tells an inspection: plans, sends, and records what the channels know.

use super::plan::{Clusters, plan};
use super::send::{Delivery, Retry, deliver_all};
use super::settings::Notify;
use crate::history::{Store, StoreError};
use kfleet_inspect::Inspection;

/// Tells what is to be told of an inspection through every channel, and gives what became of each message.
///
/// What a channel knows is recorded when its message was delivered, so one that did not arrive is planned again with the
/// next inspection.
///
/// # Errors
/// When the store refuses; what was sent until then was sent.
pub async fn tell(
    notify: &Notify,
    inspection: &Inspection,
    clusters: &Clusters,
    store: &Store,
    report: Option<&[u8]>,
    retry: Retry,
) -> Result<Vec<Delivery>, StoreError> {
    let sent = store.notices().await?;
    let plan = plan(inspection, &notify.routing, clusters, &sent);
    store.put_notices(&plan.noted).await?;
    let mut deliveries = Vec::new();
    for (delivery, kept) in deliver_all(notify, plan.notices, report, retry).await {
        store.put_notices(&kept).await?;
        store.put_delivery(&delivery).await?;
        deliveries.push(delivery);
    }
    Ok(deliveries)
}
