//! The reports of devices.

use super::connection::next_packet;
use super::{Mqtt, Options, topic};
use crate::primitive::Id;
use crate::service::{DeviceReport, RolloutError};
use crate::store::{BoxError, Tenant};
use rumqttc::{
    AckMode, AsyncClient, Packet, PersistedAckMode, PersistedSession, Publish, QoS, SessionStore, SessionStoreError,
    SessionStoreKey, SubscribeFilterInput, SubscribeReasonCode,
};
use std::pin::Pin;
use std::time::Duration;

/// For how long a broker keeps the reports for a service that is away.
const SESSION_SECONDS: u32 = 24 * 60 * 60;

/// How many reports a broker sends before the first is acknowledged.
const AT_ONCE: u16 = 64;

/// How long a report waits that could not be recorded, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How many messages of devices were received over a connection.
///
/// Returned by [`Mqtt::receive_reports`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportCounts {
    /// The messages whose reports were recorded, or known.
    pub recorded: u64,
    /// The messages that were refused: they are no reports, or about what is not the device's.
    pub refused: u64,
    /// Why the last of those was.
    pub last_refusal: Option<String>,
    /// Why the connection ended.
    pub ended: String,
}

impl Mqtt {
    /// Receives the reports of devices until the connection to the broker ends: the caller calls it again, after a while. A
    /// message is acknowledged when `record` has recorded its reports, so that none is lost, and one may come twice; where
    /// `record` fails for a time, it is asked again until it does not. A message that can never be recorded is acknowledged and
    /// counted.
    ///
    /// `record` is [`RolloutService::report`](crate::service::RolloutService::report), or
    /// `UpdateServer::report`. The topic names the tenant and the device: the access rules of the broker have to see to it that
    /// nobody else writes to it.
    pub async fn receive_reports<F>(&self, mut record: impl FnMut(Tenant, Id, DeviceReport) -> F) -> ReportCounts
    where
        F: Future<Output = Result<(), RolloutError>>,
    {
        let mut counts = ReportCounts::default();
        let ended = receive(&self.connections.options, &mut record, &mut counts).await;
        counts.ended = ended.unwrap_or_else(|error| error.to_string());
        counts
    }
}

async fn receive<F>(
    options: &Options,
    record: &mut impl FnMut(Tenant, Id, DeviceReport) -> F,
    counts: &mut ReportCounts,
) -> Result<String, BoxError>
where
    F: Future<Output = Result<(), RolloutError>>,
{
    let mut connector = options.connector("-reports")?;
    connector.set_clean_start(false).set_session_expiry_interval(Some(SESSION_SECONDS));
    connector.set_ack_mode(AckMode::Manual).set_receive_maximum(Some(AT_ONCE));
    connector.set_session_store(NothingInFlight { client: connector.client_id() });
    let (client, mut events) = AsyncClient::builder(connector).capacity(usize::from(AT_ONCE) * 2).try_build()?;
    // In each session, as an earlier one may have ended before it had subscribed.
    client.try_subscribe_many([SubscribeFilterInput::new(topic::all_reports(options.prefix()), QoS::AtLeastOnce)])?;
    // The connection is served while a report is recorded. The broker waits when so many are not acknowledged.
    let (waiting, mut messages) = tokio::sync::mpsc::unbounded_channel::<Publish>();
    let serve = async {
        loop {
            match next_packet(events.poll().await) {
                Ok(Some(Packet::Publish(message))) => drop(waiting.send(message)),
                Ok(Some(Packet::SubAck(answer))) => {
                    let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
                    if let Some(code) = answer.return_codes.iter().find(refused) {
                        return format!("the broker refuses the subscription to reports: {code:?}");
                    }
                }
                Ok(_) => {}
                Err((why, _)) => return why,
            }
        }
    };
    let work = async {
        while let Some(message) = messages.recv().await {
            match take(options.prefix(), &message, record).await {
                Ok(()) => counts.recorded += 1,
                Err(why) => {
                    counts.refused += 1;
                    counts.last_refusal = Some(why);
                }
            }
            if let Err(error) = client.ack(&message).await {
                return error.to_string();
            }
        }
        "there is nothing to receive".to_owned()
    };
    tokio::select! {
        why = serve => Ok(why),
        why = work => Ok(why),
    }
}

/// Has the reports of a message recorded.
async fn take<F>(
    prefix: &str,
    message: &Publish,
    record: &mut impl FnMut(Tenant, Id, DeviceReport) -> F,
) -> Result<(), String>
where
    F: Future<Output = Result<(), RolloutError>>,
{
    let topic = String::from_utf8_lossy(&message.topic);
    let (tenant, device) = topic::reporter(prefix, &topic).ok_or_else(|| format!("`{topic}` names no device"))?;
    let wrong = |error: &dyn std::fmt::Display| format!("device `{device}` of `{tenant}`: {error}");
    let reports = DeviceReport::read(&message.payload).map_err(|error| wrong(&error))?;
    for report in reports {
        let mut pause = PAUSES.0;
        loop {
            match record(tenant.clone(), device.clone(), report.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_transient() && !matches!(error, RolloutError::Deployment { .. }) => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSES.1);
                }
                Err(error) => return Err(wrong(&error)),
            }
        }
    }
    Ok(())
}

/// The session of a client that sends nothing that would have to be sent again: what the broker keeps of it, messages to be
/// delivered and subscriptions, needs no counterpart here.
#[derive(Debug)]
struct NothingInFlight {
    client: String,
}

type SessionFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingInFlight {
    fn load<'a>(&'a self, _key: &'a SessionStoreKey) -> SessionFuture<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: self.client.clone(),
            clean_start: false,
            session_expiry_interval: Some(SESSION_SECONDS),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _key: &'a SessionStoreKey, _session: &'a PersistedSession) -> SessionFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _key: &'a SessionStoreKey) -> SessionFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
