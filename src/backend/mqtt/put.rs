//! Writing a slot.

use super::connection::{Connection, Connections, version};
use super::topic;
use crate::publish::{Content, MAX_CONTENT, PublishError, Receipt, Slot};
use crate::store::{BoxError, Tenant};
use bytes::Bytes;
use rumqttc::{PubAckReason, PublishNoticeError, PublishOptions, PublishProperties, PublishResult, QoS};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// For how long a broker keeps a tombstone, which says no time of its own: longer than slots of what ended are verified, and than
/// a device is away with a session that remembers the offer.
const TOMBSTONE_SECONDS: u32 = 30 * 24 * 60 * 60;

pub(super) async fn put(
    connections: &Connections,
    tenant: &Tenant,
    slot: &Slot,
    content: &Content,
) -> Result<Receipt, PublishError> {
    let payload = Bytes::from(content.to_bytes());
    if payload.len() > MAX_CONTENT {
        return Err(PublishError::TooLarge { limit: MAX_CONTENT });
    }
    let connection = connections.connected().await?;
    let topic = topic::offer(connections.options.prefix(), tenant, slot);
    let written = write(connection, topic, content.clone(), payload, connections.options.timeout());
    // A task of its own, so that what was sent is known here when it is acknowledged, whether or not the caller still waits.
    tokio::spawn(written).await.map_err(|error| unknown(error.into()))?
}

async fn write(
    connection: Arc<Connection>,
    topic: String,
    content: Content,
    payload: Bytes,
    timeout: Duration,
) -> Result<Receipt, PublishError> {
    let _alone = connection.writer(&topic).await;
    let receipt = Receipt::new(version(&payload), false);
    if connection.slots().holds(&topic, &content, &payload)? {
        return Ok(receipt);
    }
    let expires_in = expires_in(&content, OffsetDateTime::now_utc());
    let properties = PublishProperties { message_expiry_interval: expires_in, ..PublishProperties::default() };
    let options = PublishOptions::new(QoS::AtLeastOnce).retained().properties(properties);
    let sent = async {
        // Nothing was sent where it could not be queued.
        let queued = connection.client.publish_tracked(topic.clone(), payload.clone(), options).await;
        let notice = queued
            .map_err(|error| PublishError::Unavailable { retry_after: None, source: Some(error.to_string().into()) })?;
        notice.wait_async().await.map_err(refused)
    };
    let result = tokio::time::timeout(timeout, sent).await;
    match result.map_err(|_| unknown("the broker does not acknowledge the message".into()))?? {
        PublishResult::Qos1(acknowledgement) => match acknowledgement.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
            other => return Err(refused(PublishNoticeError::V5PubAck(other))),
        },
        _ => return Err(unknown("the broker acknowledges another message".into())),
    }
    connection.slots().take(&topic, &content, payload, expires_in);
    Ok(receipt)
}

/// Returns the seconds after which the broker forgets a content. One that has ended already is kept.
fn expires_in(content: &Content, now: OffsetDateTime) -> Option<u32> {
    match content {
        Content::Offer(offer) => {
            u32::try_from((offer.not_after - now).whole_seconds()).ok().filter(|seconds| *seconds > 0)
        }
        Content::Tombstone { .. } => Some(TOMBSTONE_SECONDS),
    }
}

fn unknown(source: BoxError) -> PublishError {
    PublishError::Indeterminate { source: Some(source) }
}

/// Returns the error of a message that the broker refused, or of which nothing is known.
fn refused(error: PublishNoticeError) -> PublishError {
    let source: BoxError = Box::new(error.clone());
    match error {
        PublishNoticeError::V5PubAck(PubAckReason::NotAuthorized) => PublishError::Denied { source: Some(source) },
        PublishNoticeError::V5PubAck(PubAckReason::QuotaExceeded) => PublishError::Throttled { retry_after: None },
        PublishNoticeError::RetainNotSupported => {
            PublishError::Unsupported { what: "the broker keeps no retained messages" }
        }
        PublishNoticeError::V5PubAck(_) => PublishError::Backend { source },
        _ => unknown(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{ActionNumber, Offer, OfferKey};
    use crate::update::rollout::{Attempt, DeploymentId};
    use time::macros::datetime;

    #[test]
    fn broker_forgets_an_offer_when_it_ends() {
        let key = OfferKey { deployment: DeploymentId(7), attempt: Attempt(1) };
        let until = datetime!(2026-04-19 10:00 UTC);
        let offer =
            Offer::new(key, ActionNumber::FIRST, "pump/main".parse().unwrap(), "2.4".parse().unwrap(), 1, until);
        let offer = Content::Offer(Box::new(offer));
        assert_eq!(expires_in(&offer, datetime!(2026-04-19 09:00 UTC)), Some(3_600));
        assert_eq!(expires_in(&offer, datetime!(2026-04-19 10:00 UTC)), None);
        assert_eq!(expires_in(&offer, datetime!(1826-04-19 10:00 UTC)), None);
        let tombstone = Content::Tombstone { key, action: ActionNumber::FIRST };
        assert_eq!(expires_in(&tombstone, until), Some(TOMBSTONE_SECONDS));
    }
}
