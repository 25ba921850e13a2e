//! The open connections: their number, their addresses, and which one to close when there are too many.

use super::limits::{CLOSING, ConnectionLimits, RESERVE};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Time without a byte after which a request in progress may be closed in favour of a new connection.
const STALLED: Duration = Duration::from_secs(2);

/// The address of a client as limits count it: one IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address => address,
        })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V6(address) => write!(f, "{address}/64"),
            address => write!(f, "{address}"),
        }
    }
}

/// The phase of a connection, by what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake, or the first byte of the first request.
    New,
    /// The rest of a request head.
    Header,
    /// The next request.
    Idle,
    /// A request is being received and answered.
    Request,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    peer: Peer,
    progress: Mutex<Progress>,
    closed: Notify,
    /// The waker of the reader, which runs no timeout while a request is in progress.
    reader: Mutex<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    phase: Phase,
    since: Instant,
    /// Whether a complete request head was received.
    asked: bool,
    /// Since when the client neither sends nor takes bytes of the request in progress.
    stalled: Option<Instant>,
}

impl Connection {
    fn new(id: u64, peer: Peer) -> Self {
        let progress = Progress { phase: Phase::New, since: Instant::now(), asked: false, stalled: None };
        Self { id, peer, progress: Mutex::new(progress), closed: Notify::new(), reader: Mutex::default() }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the phase and when it began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let progress = self.progress();
        (progress.phase, progress.since)
    }

    /// Begins another phase.
    pub(super) fn enter(&self, phase: Phase) {
        let mut progress = self.progress();
        let asked = progress.asked || phase == Phase::Request;
        *progress = Progress { phase, since: Instant::now(), asked, stalled: None };
        drop(progress);
        if phase == Phase::Idle {
            self.wake_reader();
        }
    }

    /// Stores the waker of a reader, to be woken when the connection begins to wait for the next request.
    pub(super) fn reads(&self, waker: &Waker) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reader.wake();
        }
    }

    /// Notes received bytes, which begin a head where a request was waited for.
    pub(super) fn received(&self) {
        if matches!(self.phase().0, Phase::New | Phase::Idle) {
            self.enter(Phase::Header);
        }
    }

    /// Notes that the client keeps a request in progress waiting, or no longer does.
    pub(super) fn stall(&self, stalls: bool) {
        let mut progress = self.progress();
        progress.stalled = if stalls { progress.stalled.or_else(|| Some(Instant::now())) } else { None };
        if progress.phase == Phase::Idle {
            // The idle time begins when the client has the whole answer.
            progress.since = Instant::now();
            drop(progress);
            self.wake_reader();
        }
    }

    /// Waits until this connection must close in favour of another.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Returns the rank for closing in favour of another connection, the lowest first; `None` while a request is in
    /// progress.
    fn rank(&self) -> Option<(u8, u64)> {
        let progress = *self.progress();
        let rank = match progress.phase {
            _ if progress.stalled.is_some_and(|since| since.elapsed() >= STALLED) => 2,
            Phase::Request => return None,
            _ if progress.asked => 1,
            _ => 0,
        };
        Some((rank, self.id))
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) limits: ConnectionLimits,
    open: Mutex<Open>,
    /// One permit for each descriptor, held by a connection until its socket is closed.
    descriptors: Arc<Semaphore>,
    pub(super) counters: Counters,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    count: usize,
    peers: HashMap<Peer, BTreeMap<u64, Arc<Connection>>>,
    reserve: BTreeMap<u64, Arc<Connection>>,
}

/// Counters for the metrics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    closed_for_others: AtomicU64,
    over_limit: AtomicU64,
    pub(super) accept_failures: AtomicU64,
    pub(super) handshake_timeouts: AtomicU64,
    pub(super) header_timeouts: AtomicU64,
    pub(super) idle_timeouts: AtomicU64,
    pub(super) body_timeouts: AtomicU64,
    pub(super) answer_timeouts: AtomicU64,
}

/// A place among the open connections, returned on drop.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) connection: Arc<Connection>,
    /// Whether this is a reserve connection, on which only health checks are answered.
    pub(super) health_only: bool,
    all: Arc<Connections>,
    _descriptor: OwnedSemaphorePermit,
}

impl Place {
    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().remove(&self.connection);
    }
}

impl Open {
    fn remove(&mut self, connection: &Connection) {
        self.reserve.remove(&connection.id);
        if let Some(of_peer) = self.peers.get_mut(&connection.peer) {
            if of_peer.remove(&connection.id).is_some() {
                self.count -= 1;
            }
            if of_peer.is_empty() {
                self.peers.remove(&connection.peer);
            }
        }
    }

    /// Closes the least needed connection of an address, if it has one that may be closed.
    fn close_one_of(&mut self, peer: Peer) -> bool {
        let of_peer = self.peers.get(&peer).into_iter().flat_map(BTreeMap::values);
        let Some(closed) = of_peer.filter_map(|it| Some((it.rank()?, it))).min_by_key(|(rank, _)| *rank) else {
            return false;
        };
        let closed = Arc::clone(closed.1);
        closed.closed.notify_one();
        self.remove(&closed);
        true
    }

    /// Closes a connection of the address with the most connections.
    fn close_one(&mut self) -> bool {
        let mut peers: Vec<_> = self.peers.iter().map(|(peer, of)| (of.len(), *peer)).collect();
        peers.sort_unstable_by(|a, b| b.cmp(a));
        peers.into_iter().any(|(_, peer)| self.close_one_of(peer))
    }
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        let descriptors = Arc::new(Semaphore::new(limits.total() + RESERVE + CLOSING));
        Arc::new(Self { limits, open: Mutex::default(), descriptors, counters: Counters::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another connection can be accepted.
    pub(super) async fn descriptor(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.descriptors).acquire_owned().await {
            Ok(descriptor) => descriptor,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until every connection is closed.
    pub(super) async fn all_closed(&self) {
        let all = u32::try_from(self.limits.total() + RESERVE + CLOSING).unwrap_or(u32::MAX);
        drop(self.descriptors.acquire_many(all).await);
    }

    /// Closes every connection, in whatever phase.
    pub(super) fn close_all(&self) {
        let open = self.open();
        let all = open.peers.values().flat_map(BTreeMap::values).chain(open.reserve.values());
        all.for_each(|connection| connection.closed.notify_one());
    }

    /// Closes the least needed connection.
    pub(super) fn close_least_needed(&self) {
        if self.open().close_one() {
            self.counters.closed_for_others.fetch_add(1, Relaxed);
        }
    }

    /// Gives a new connection its place. Where there are too many, of its address or in total, the least needed one is
    /// closed: first connections that never sent a request, oldest first. Where none can be closed, the new connection
    /// joins the reserve.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, descriptor: OwnedSemaphorePermit) -> Place {
        let peer = Peer::of(address);
        let mut open = self.open();
        let mut room = true;
        let make = |room: &mut bool, closed: bool| {
            *room &= closed;
            if closed {
                self.counters.closed_for_others.fetch_add(1, Relaxed);
            }
        };
        if open.peers.get(&peer).map_or(0, BTreeMap::len) >= self.limits.per_address() {
            make(&mut room, open.close_one_of(peer));
        }
        if room && open.count >= self.limits.total() {
            make(&mut room, open.close_one());
        }
        open.next += 1;
        let connection = Arc::new(Connection::new(open.next, peer));
        if room {
            open.count += 1;
            open.peers.entry(peer).or_default().insert(connection.id, Arc::clone(&connection));
        } else {
            self.counters.over_limit.fetch_add(1, Relaxed);
            let own = open.reserve.values().filter(|it| it.peer == peer);
            let oldest = if own.clone().count() >= RESERVE / 2 {
                own.map(|it| it.id).next()
            } else if open.reserve.len() >= RESERVE {
                open.reserve.keys().next().copied()
            } else {
                None
            };
            if let Some(oldest) = oldest.and_then(|id| open.reserve.remove(&id)) {
                oldest.closed.notify_one();
            }
            open.reserve.insert(connection.id, Arc::clone(&connection));
        }
        drop(open);
        self.counters.accepted.fetch_add(1, Relaxed);
        Place { connection, health_only: !room, all: Arc::clone(self), _descriptor: descriptor }
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let (open, reserve) = {
            let open = self.open();
            (open.count as u64, open.reserve.len() as u64)
        };
        let c = &self.counters;
        let mut write = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
            let _ = writeln!(text, "# HELP update_service_{name} {help}\n# TYPE update_service_{name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "update_service_{name}{labels} {value}");
            }
        };
        write("connections", "gauge", "Open connections.", &[("", open)]);
        write("connections_in_reserve", "gauge", "Open connections beyond the limits.", &[("", reserve)]);
        write("connections_limit", "gauge", "The most connections.", &[("", self.limits.total() as u64)]);
        write("connections_total", "counter", "Connections that were accepted.", &[("", c.accepted.load(Relaxed))]);
        write(
            "connections_closed_for_others_total",
            "counter",
            "Waiting connections that were closed because there were too many.",
            &[("", c.closed_for_others.load(Relaxed))],
        );
        write(
            "connections_over_limit_total",
            "counter",
            "Connections for which there was no place but in the reserve.",
            &[("", c.over_limit.load(Relaxed))],
        );
        write(
            "accept_failures_total",
            "counter",
            "Connections that the system could not give.",
            &[("", c.accept_failures.load(Relaxed))],
        );
        write(
            "connection_timeouts_total",
            "counter",
            "Connections that were closed because the client took too long, by what was waited for.",
            &[
                ("{phase=\"handshake\"}", c.handshake_timeouts.load(Relaxed)),
                ("{phase=\"header\"}", c.header_timeouts.load(Relaxed)),
                ("{phase=\"idle\"}", c.idle_timeouts.load(Relaxed)),
                ("{phase=\"body\"}", c.body_timeouts.load(Relaxed)),
                ("{phase=\"answer\"}", c.answer_timeouts.load(Relaxed)),
            ],
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn connections(total: usize, per_address: usize) -> Arc<Connections> {
        let limits = ConnectionLimits { total: Some(total), per_address: Some(per_address), ..Default::default() };
        Connections::new(limits)
    }

    async fn admit(all: &Arc<Connections>, last: u8) -> Place {
        let descriptor = tokio::time::timeout(Duration::from_secs(1), all.descriptor()).await.unwrap();
        all.admit(address(last), descriptor)
    }

    async fn is_closed(place: &Place) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.connection.closed()).await.is_ok()
    }

    #[test]
    fn ipv6_clients_are_counted_by_prefix() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8::1"));
        assert_ne!(peer("10.0.0.2"), peer("10.0.0.1"));
        assert_eq!(peer("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[tokio::test]
    async fn oldest_silent_connection_is_closed_first() {
        let all = connections(10, 2);
        let (used, silent) = (admit(&all, 1).await, admit(&all, 1).await);
        used.connection.enter(Phase::Request);
        used.connection.enter(Phase::Idle);
        let third = admit(&all, 1).await;
        assert!(is_closed(&silent).await && !is_closed(&used).await && !third.health_only);
        third.connection.enter(Phase::Request);
        let fourth = admit(&all, 1).await;
        assert!(is_closed(&used).await && !fourth.health_only);
        fourth.connection.enter(Phase::Request);
        assert!(admit(&all, 1).await.health_only);
        assert!(!admit(&all, 2).await.health_only);
    }

    #[tokio::test]
    async fn busiest_address_loses_a_connection_first() {
        let all = connections(4, 3);
        let mut places = Vec::new();
        for last in [1, 2, 2, 2] {
            places.push(admit(&all, last).await);
        }
        let fifth = admit(&all, 3).await;
        assert!(is_closed(&places[1]).await && !is_closed(&places[0]).await && !fifth.health_only);
        drop(places);
        drop(fifth);
        assert_eq!(all.open().count, 0);
        assert!(all.open().peers.is_empty());
        tokio::time::timeout(Duration::from_secs(1), all.all_closed()).await.unwrap();
    }

    #[tokio::test]
    async fn reserved_connections_are_shared_by_addresses() {
        let all = connections(1, 1);
        let first = admit(&all, 1).await;
        first.connection.enter(Phase::Request);
        let probe = admit(&all, 2).await;
        let mut flood = Vec::new();
        for _ in 0..3 {
            flood.push(admit(&all, 1).await);
        }
        assert!(probe.health_only && !is_closed(&probe).await);
        assert!(is_closed(&flood[0]).await && !is_closed(&flood[2]).await);
    }
}
