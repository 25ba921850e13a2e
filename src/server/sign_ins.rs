//! Failed sign-ins: counted, logged with their address, and slowed down.

use super::connections::Peer;
use super::token_digest::TokenDigest;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Number of failed sign-ins of an address before it is slowed down.
const BURST: u32 = 50;

/// Time between two sign-ins of a slowed address, for tokens not known to be good there.
const PAUSE: Duration = Duration::from_millis(20);

/// Maximum wait of a sign-in. One that would wait longer is refused.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// Number of good tokens remembered per address. They are not slowed down.
const GOOD: usize = 16;

/// Maximum number of addresses remembered.
const MAX_PEERS: usize = 4_096;

/// Minimum time between two log lines about an address.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Maximum number of log lines in that time.
const MAX_LINES: usize = 20;

/// The sign-ins of each address.
#[derive(Debug, Default)]
pub(super) struct SignIns {
    table: Mutex<Table>,
    pub(super) missing: AtomicU64,
    unknown: AtomicU64,
    expired: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<Peer, Attempts>,
    /// Failures of addresses that got no log line.
    untold: u64,
    window: Option<Instant>,
    lines: usize,
}

#[derive(Debug)]
struct Attempts {
    /// From when on a sign-in need not wait.
    free_at: Instant,
    last: Instant,
    good: VecDeque<TokenDigest>,
    untold: u64,
    told: Option<Instant>,
}

/// The permission to look up a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Allowed after this time.
    After(Duration),
    /// Refused: there are too many failures.
    Refused,
}

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unknown,
    Expired,
}

impl SignIns {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a token of an address may be looked up.
    pub(super) fn begin(&self, peer: Peer, token: &TokenDigest) -> Turn {
        let now = Instant::now();
        let mut table = self.table();
        let attempts = table.of(peer, now);
        attempts.last = now;
        if attempts.good.contains(token) {
            return Turn::After(Duration::ZERO);
        }
        let wait = attempts.free_at.saturating_duration_since(now);
        if wait > MAX_WAIT {
            attempts.untold += 1;
            self.refused.fetch_add(1, Relaxed);
            table.tell(peer, now);
            return Turn::Refused;
        }
        // An unused burst does not accumulate.
        let earliest = now.checked_sub(PAUSE * BURST).unwrap_or(now);
        attempts.free_at = attempts.free_at.max(earliest) + PAUSE;
        Turn::After(wait)
    }

    /// Notes a good token, which is not slowed down from now on.
    pub(super) fn succeeded(&self, peer: Peer, token: TokenDigest) {
        let now = Instant::now();
        let mut table = self.table();
        let attempts = table.of(peer, now);
        if !attempts.good.contains(&token) {
            attempts.free_at = attempts.free_at.checked_sub(PAUSE).unwrap_or(now);
            if attempts.good.len() >= GOOD {
                attempts.good.pop_front();
            }
            attempts.good.push_back(token);
        }
    }

    /// Notes a token that is not good.
    pub(super) fn failed(&self, peer: Peer, token: &TokenDigest, failure: Failure) {
        match failure {
            Failure::Unknown => &self.unknown,
            Failure::Expired => &self.expired,
        }
        .fetch_add(1, Relaxed);
        let now = Instant::now();
        let mut table = self.table();
        let attempts = table.of(peer, now);
        // The token may have been good before.
        attempts.good.retain(|good| *good != *token);
        attempts.untold += 1;
        table.tell(peer, now);
    }

    /// Logs failures without a log line so far: all of them at the end, otherwise those of addresses that had no line
    /// just now.
    pub(super) fn flush(&self, end: bool) {
        let now = Instant::now();
        let mut table = self.table();
        if end {
            table.window = None;
            table.peers.values_mut().for_each(|attempts| attempts.told = None);
        }
        let peers: Vec<Peer> = table.peers.iter().filter(|(_, it)| it.untold > 0).map(|(peer, _)| *peer).collect();
        peers.into_iter().for_each(|peer| table.tell(peer, now));
        if table.untold > 0 {
            tracing::warn!(failures = table.untold, "sign-ins of further addresses failed");
            table.untold = 0;
        }
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(
            "# HELP update_service_sign_in_failures_total Requests whose sign-in failed.\n\
             # TYPE update_service_sign_in_failures_total counter\n",
        );
        for (reason, counter) in [
            ("missing", &self.missing),
            ("unknown", &self.unknown),
            ("expired", &self.expired),
            ("refused", &self.refused),
        ] {
            let count = counter.load(Relaxed);
            let _ = writeln!(text, "update_service_sign_in_failures_total{{reason=\"{reason}\"}} {count}");
        }
        text
    }
}

impl Table {
    /// Returns the attempts of an address. Where there are too many addresses, one is forgotten: the oldest that is not
    /// slowed down.
    fn of(&mut self, peer: Peer, now: Instant) -> &mut Attempts {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let oldest = self.peers.iter().min_by_key(|(_, it)| (it.free_at > now, it.last)).map(|(peer, _)| *peer);
            if let Some(forgotten) = oldest.and_then(|peer| self.peers.remove(&peer)) {
                self.untold += forgotten.untold;
            }
        }
        let free_at = now.checked_sub(PAUSE * BURST).unwrap_or(now);
        let new = || Attempts { free_at, last: now, good: VecDeque::new(), untold: 0, told: None };
        self.peers.entry(peer).or_insert_with(new)
    }

    /// Logs the failures of an address, unless it had a line just now.
    fn tell(&mut self, peer: Peer, now: Instant) {
        if self.window.is_none_or(|begun| now.duration_since(begun) >= LOG_EVERY) {
            (self.window, self.lines) = (Some(now), 0);
        }
        let Some(attempts) = self.peers.get_mut(&peer) else { return };
        if attempts.told.is_some_and(|told| now.duration_since(told) < LOG_EVERY) {
            return;
        }
        if self.lines >= MAX_LINES {
            self.untold += std::mem::take(&mut attempts.untold);
            return;
        }
        self.lines += 1;
        attempts.told = Some(now);
        let failures = std::mem::take(&mut attempts.untold);
        tracing::warn!(address = %peer, failures, "sign-ins failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn peer(number: u32) -> Peer {
        Peer::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn wrong_tokens_are_throttled_and_valid_ones_are_not() {
        let (sign_ins, good) = (SignIns::default(), TokenDigest::of("good"));
        assert_eq!(sign_ins.begin(peer(1), &good), Turn::After(Duration::ZERO));
        sign_ins.succeeded(peer(1), good);
        let (mut at_once, mut refused) = (0, 0);
        for number in 0..3_000_u32 {
            let wrong = TokenDigest::of(&number.to_string());
            match sign_ins.begin(peer(1), &wrong) {
                Turn::Refused => refused += 1,
                Turn::After(wait) => {
                    at_once += u32::from(wait.is_zero());
                    sign_ins.failed(peer(1), &wrong, Failure::Unknown);
                }
            }
        }
        assert!(refused > 2_000 && at_once < 500, "{refused} {at_once}");
        assert_eq!(sign_ins.begin(peer(1), &good), Turn::After(Duration::ZERO));
        assert_eq!(sign_ins.begin(peer(2), &TokenDigest::of("other")), Turn::After(Duration::ZERO));
        // A good token that was not used from this address has to wait its turn.
        std::thread::sleep(PAUSE * 5);
        assert!(matches!(sign_ins.begin(peer(1), &TokenDigest::of("late")), Turn::After(_)));
        let table = sign_ins.table();
        assert_eq!(table.lines, 1, "one line for each address");
    }

    #[test]
    fn remembered_addresses_are_bounded() {
        let sign_ins = SignIns::default();
        for number in 0..MAX_PEERS as u32 + 500 {
            sign_ins.failed(peer(number), &TokenDigest::of("x"), Failure::Expired);
        }
        let table = sign_ins.table();
        assert!(table.peers.len() <= MAX_PEERS && table.lines <= MAX_LINES);
        // New lines are allowed from time to time, which a slow machine reaches.
        assert!((500..=MAX_PEERS as u64 + 500 - MAX_LINES as u64).contains(&table.untold));
    }
}
