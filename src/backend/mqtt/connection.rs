//! The connection of the writer, and what the broker keeps.

use super::Options;
use super::topic;
use crate::publish::{ActionNumber, Content, MAX_CONTENT, PublishError, SlotVersion};
use crate::store::{Sha256, StoreError, hex};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectionError, DisconnectReasonCode, Event, Packet, Publish, PublishOptions, QoS,
    SubscribeFilterInput, SubscribeReasonCode,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::watch;

/// How long the first pause before another attempt to connect is. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long the pauses become.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long the pause is after another client took over.
const TAKEOVER_PAUSE: Duration = Duration::from_secs(60);

/// For how long a connection has to last until the pauses are short again.
const LASTING: Duration = Duration::from_secs(30);

/// How many requests wait within the client library.
const QUEUED: usize = 1_024;

/// Into how many parts the slots are divided, of each of which one is written at a time.
const WRITERS: usize = 256;

/// The connections to a broker, one after the other.
pub(super) struct Connections {
    pub(super) options: Options,
    status: watch::Sender<Status>,
    count: AtomicU64,
}

#[derive(Clone)]
enum Status {
    /// An attempt is under way.
    Connecting,
    /// The last attempt failed, or the connection ended, and the next one is at this time.
    Down {
        why: Arc<str>,
        next: Instant,
    },
    Up(Arc<Connection>),
}

/// One connection. Nothing of it is used over the next one: what was not acknowledged is decided anew.
pub(super) struct Connection {
    number: u64,
    pub(super) client: AsyncClient,
    slots: Mutex<Slots>,
    writers: Vec<tokio::sync::Mutex<()>>,
}

/// The contents of the slots, by topic, as the broker has them.
pub(super) struct Slots {
    contents: HashMap<String, Kept>,
    max: usize,
}

struct Kept {
    payload: Bytes,
    order: Order,
    until: Option<OffsetDateTime>,
}

/// The place of a content among those of its slot, as [`Content::is_after`] has it: the number of the offer, and whether it is the
/// tombstone of that.
type Order = (ActionNumber, bool);

fn order(content: &Content) -> Order {
    (content.action(), matches!(content, Content::Tombstone { .. }))
}

impl Slots {
    fn kept(&self, topic: &str) -> Option<&Kept> {
        let kept = self.contents.get(topic)?;
        kept.until.is_none_or(|until| until > OffsetDateTime::now_utc()).then_some(kept)
    }

    /// Returns the content of a slot and its version; `None` where there is none.
    pub(super) fn content(&self, topic: &str) -> Option<(Content, SlotVersion)> {
        let kept = self.kept(topic)?;
        Some((Content::from_bytes(&kept.payload).ok()?, version(&kept.payload)))
    }

    /// Returns whether a slot holds a content already. What comes after it is [`PublishError::Stale`].
    pub(super) fn holds(&self, topic: &str, content: &Content, payload: &[u8]) -> Result<bool, PublishError> {
        match self.kept(topic) {
            Some(kept) if kept.payload == payload => Ok(true),
            Some(kept) if kept.order > order(content) => Err(PublishError::Stale { action: kept.order.0 }),
            _ => Ok(false),
        }
    }

    /// Takes a content that the broker has. One that was overtaken changes nothing.
    pub(super) fn take(&mut self, topic: &str, content: &Content, payload: Bytes, expires_in: Option<u32>) {
        let order = order(content);
        let is_new = !self.contents.contains_key(topic);
        if self.kept(topic).is_some_and(|kept| kept.order > order) || (is_new && self.contents.len() >= self.max) {
            return;
        }
        let after = |seconds: u32| OffsetDateTime::now_utc().saturating_add(time::Duration::seconds(seconds.into()));
        self.contents.insert(topic.to_owned(), Kept { payload, order, until: expires_in.map(after) });
    }

    /// Takes a message of the broker, which is empty where a slot was cleared. One that is no content is left out.
    fn receive(&mut self, topic: &str, payload: &[u8], expires_in: Option<u32>) {
        if payload.is_empty() {
            self.contents.remove(topic);
        } else if payload.len() <= MAX_CONTENT
            && let Ok(content) = Content::from_bytes(payload)
        {
            // A copy, as the message is a part of what the connection read, and would keep all of that.
            self.take(topic, &content, Bytes::copy_from_slice(payload), expires_in);
        }
    }
}

/// Returns the version of a slot: the same for the same content.
pub(super) fn version(payload: &[u8]) -> SlotVersion {
    SlotVersion::new(hex(Sha256::of(payload).0.get(..16).unwrap_or_default(), &mut [0; 64]))
}

impl Connection {
    pub(super) fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other call writes a slot.
    pub(super) async fn writer(&self, topic: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let part = usize::from(*Sha256::of(topic.as_bytes()).0.first()?) % WRITERS;
        Some(self.writers.get(part)?.lock().await)
    }

    fn received(&self, prefix: &str, message: &Publish) {
        let Ok(topic) = std::str::from_utf8(&message.topic) else { return };
        if topic::is_offer(prefix, topic) {
            let expires_in = message.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
            self.slots().receive(topic, &message.payload, expires_in);
        }
    }
}

impl Connections {
    pub(super) fn new(options: Options) -> Result<Self, StoreError> {
        // What is wrong with it is told now.
        options.connector("").map_err(StoreError::backend)?;
        Ok(Self { options, status: watch::Sender::new(Status::Connecting), count: AtomicU64::new(0) })
    }

    /// Returns the number of the connection; `None` while there is none.
    pub(super) fn number(&self) -> Option<u64> {
        match &*self.status.borrow() {
            Status::Up(connection) => Some(connection.number),
            Status::Connecting | Status::Down { .. } => None,
        }
    }

    /// Returns the connection. An attempt that is under way is waited for.
    pub(super) async fn connected(&self) -> Result<Arc<Connection>, PublishError> {
        let unavailable = |why: &str, retry_after| {
            let source = Some(format!("the broker is not connected: {why}").into());
            Err(PublishError::Unavailable { retry_after, source })
        };
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| !matches!(status, Status::Connecting));
        match tokio::time::timeout(self.options.timeout(), settled).await {
            Ok(Ok(status)) => match &*status {
                Status::Up(connection) => Ok(Arc::clone(connection)),
                Status::Down { why, next } => {
                    unavailable(why, Some(next.saturating_duration_since(Instant::now()).max(FIRST_PAUSE)))
                }
                Status::Connecting => unavailable("it does not answer", None),
            },
            Ok(Err(_)) | Err(_) => unavailable("it does not answer", None),
        }
    }
}

/// Connects, and connects again, for ever.
pub(super) async fn keep_connected(connections: Arc<Connections>) {
    let mut pause = FIRST_PAUSE;
    loop {
        connections.status.send_replace(Status::Connecting);
        let began = Instant::now();
        let ended = hold(&connections).await;
        if began.elapsed() >= LASTING {
            pause = FIRST_PAUSE;
        }
        let wait = if ended.taken_over { TAKEOVER_PAUSE } else { pause };
        connections.status.send_replace(Status::Down { why: ended.why.into(), next: Instant::now() + wait });
        tokio::time::sleep(wait).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Why a connection ended.
struct Ended {
    why: String,
    taken_over: bool,
}

impl Ended {
    fn new(why: impl std::fmt::Display) -> Self {
        Self { why: why.to_string(), taken_over: false }
    }
}

/// Connects once, reads what the broker has, and serves the connection to its end.
async fn hold(connections: &Connections) -> Ended {
    let options = &connections.options;
    let (prefix, ready) = (options.prefix(), options.ready_topic());
    let connector = match options.connector("") {
        Ok(connector) => connector,
        Err(error) => return Ended::new(error),
    };
    let (client, mut events) = match AsyncClient::builder(connector).capacity(QUEUED).try_build() {
        Ok(made) => made,
        Err(error) => return Ended::new(error),
    };
    let connection = Arc::new(Connection {
        number: connections.count.fetch_add(1, Ordering::Relaxed),
        client: client.clone(),
        slots: Mutex::new(Slots { contents: HashMap::new(), max: options.max_slots() }),
        writers: (0..WRITERS).map(|_| tokio::sync::Mutex::new(())).collect(),
    });
    // By QoS 0, as a broker queues only so many messages of a higher one for a client, and retained ones beyond are not sent.
    let wanted = [
        SubscribeFilterInput::new(topic::all_offers(prefix), QoS::AtMostOnce).no_local(true),
        SubscribeFilterInput::new(ready.clone(), QoS::AtMostOnce),
    ];
    if let Err(error) = client.try_subscribe_many(wanted) {
        return Ended::new(error);
    }
    let number = connection.number.to_string();
    let is_ready = |message: &Publish| message.topic == ready && message.payload == number;
    let begun = tokio::time::timeout(options.timeout(), async {
        loop {
            match next(events.poll().await)? {
                Some(Packet::SubAck(answer)) => {
                    if let Some(code) =
                        answer.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                    {
                        return Err(Ended::new(format!("it refuses the subscription to the slots: {code:?}")));
                    }
                    // What comes back after this came after all that is retained.
                    let sent = client.try_publish(ready.clone(), number.clone(), PublishOptions::new(QoS::AtMostOnce));
                    sent.map_err(Ended::new)?;
                }
                Some(Packet::Publish(message)) if is_ready(&message) => return Ok(()),
                Some(Packet::Publish(message)) => connection.received(prefix, &message),
                _ => {}
            }
        }
    });
    match begun.await {
        Ok(Ok(())) => {}
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::new("it took too long to connect and to read the slots"),
    }
    connections.status.send_replace(Status::Up(Arc::clone(&connection)));
    loop {
        match next(events.poll().await) {
            Ok(Some(Packet::Publish(message))) => connection.received(prefix, &message),
            Ok(_) => {}
            Err(ended) => return ended,
        }
    }
}

/// Returns the packet that came, if one did. An error, or a farewell of the broker, ends the connection.
pub(super) fn next_packet(polled: Result<Event, ConnectionError>) -> Result<Option<Packet>, (String, bool)> {
    match polled {
        Ok(Event::Incoming(Packet::Disconnect(farewell))) => {
            let taken_over = farewell.reason_code == DisconnectReasonCode::SessionTakenOver;
            Err((format!("it ended the connection: {:?}", farewell.reason_code), taken_over))
        }
        Ok(Event::Incoming(packet)) => Ok(Some(packet)),
        Ok(_) => Ok(None),
        Err(error) => Err((crate::support::with_causes(&error), false)),
    }
}

fn next(polled: Result<Event, ConnectionError>) -> Result<Option<Packet>, Ended> {
    next_packet(polled).map_err(|(why, taken_over)| Ended { why, taken_over })
}
