//! Limits on the number of connections, and on the time that a client may take with each.

use std::time::Duration;

/// Number of reserve connections for `/healthz` and `/readyz` when all others are in use.
pub(super) const RESERVE: usize = 4;

/// Number of descriptors for connections that are being closed.
pub(super) const CLOSING: usize = 4;

/// Number of descriptors kept for the stores.
const STORES: usize = 8;

/// Default maximum number of connections, however many descriptors there are.
const MOST: usize = 10_000;

/// Limits of connections. The timeouts run only while the service waits for the client.
///
/// ```
/// use fhir_devices::server::ConnectionLimits;
/// use std::time::Duration;
/// let mut limits = ConnectionLimits::default();
/// limits.set("--idle-timeout", "5")?;
/// assert_eq!(limits.idle, Duration::from_secs(5));
/// assert!(limits.set("--idle-timeout", "soon").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Maximum number of connections; `None` is the number that [`within_descriptors`](Self::within_descriptors)
    /// derives, or 512 without that call.
    pub total: Option<usize>,
    /// Maximum number of connections per address; `None` is half of the total. An IPv6 address counts by its first 64
    /// bits.
    pub per_address: Option<usize>,
    /// Timeout of the TLS handshake.
    pub handshake: Duration,
    /// Timeout of a request head, from its first byte, and of the first byte of a new connection.
    pub header: Duration,
    /// Timeout without a byte of a body being received, or of an answer being sent.
    pub body: Duration,
    /// Timeout between two requests.
    pub idle: Duration,
    /// Minimum average rate of bodies and answers in bytes per second while the service waits for the client, after the
    /// time of `body`.
    pub min_rate: u64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: None,
            per_address: None,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            min_rate: 256,
        }
    }
}

impl ConnectionLimits {
    /// The command-line options that set limits.
    pub const OPTIONS: [&'static str; 7] = [
        "--max-connections",
        "--max-connections-per-address",
        "--handshake-timeout",
        "--header-timeout",
        "--body-timeout",
        "--idle-timeout",
        "--min-rate",
    ];

    /// Sets the limit of one of the [`OPTIONS`](Self::OPTIONS).
    ///
    /// # Errors
    /// The value, and the expected form.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let wrong = |wanted: &str| format!("`{option}`: `{value}` is not {wanted}");
        let number = || value.parse::<u64>().ok().filter(|number| *number > 0);
        let count = || number().and_then(|it| usize::try_from(it).ok()).ok_or_else(|| wrong("a number of at least 1"));
        let seconds = || {
            let seconds = number().filter(|seconds| *seconds <= 86_400);
            seconds.map(Duration::from_secs).ok_or_else(|| wrong("a number of seconds between 1 and 86400"))
        };
        match option {
            "--max-connections" => count().map(|it| self.total = Some(it)),
            "--max-connections-per-address" => count().map(|it| self.per_address = Some(it)),
            "--handshake-timeout" => seconds().map(|it| self.handshake = it),
            "--header-timeout" => seconds().map(|it| self.header = it),
            "--body-timeout" => seconds().map(|it| self.body = it),
            "--idle-timeout" => seconds().map(|it| self.idle = it),
            "--min-rate" => number().ok_or_else(|| wrong("a number of at least 1")).map(|it| self.min_rate = it),
            _ => Err(format!("`{option}` is not known")),
        }
    }

    /// Derives the number of connections from the descriptors that the process may still open: each connection may need
    /// one for itself and one for a file.
    ///
    /// # Errors
    /// There are too few descriptors for the requested number, or for any connection.
    pub fn within_descriptors(mut self) -> Result<Self, String> {
        let (limit, open) = descriptors();
        let kept = RESERVE + CLOSING + STORES;
        let free = limit.saturating_sub(open);
        match self.total {
            Some(total) if total.saturating_add(kept) > free => Err(format!(
                "`--max-connections {total}` needs {} file descriptors beside the {open} that are open, and the process may open \
                 {limit} in all (`ulimit -n`)",
                total.saturating_add(kept)
            )),
            Some(_) => Ok(self),
            None if free < kept + 2 => Err(format!(
                "the process may open {limit} file descriptors, of which {open} are open: at least {} are needed (`ulimit -n`)",
                open + kept + 2
            )),
            None => {
                self.total = Some(((free - kept) / 2).min(MOST));
                Ok(self)
            }
        }
    }

    /// Returns the maximum number of connections.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.unwrap_or(512)
    }

    /// Returns the maximum number of connections per address.
    #[must_use]
    pub fn per_address(&self) -> usize {
        self.per_address.unwrap_or_else(|| (self.total() / 2).max(1))
    }
}

/// Returns the maximum number of file descriptors of the process, and the number of open ones.
fn descriptors() -> (usize, usize) {
    #[cfg(unix)]
    let limit = rlimit::Resource::NOFILE.get_soft().ok().and_then(|soft| usize::try_from(soft).ok());
    #[cfg(not(unix))]
    let limit = None;
    // Where the system has no such folder, the assumed number is higher than a start opens.
    let open = std::fs::read_dir("/proc/self/fd").map_or(32, Iterator::count);
    (limit.unwrap_or(usize::MAX), open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_options_are_checked() {
        let mut limits = ConnectionLimits::default();
        for (option, value) in [("--max-connections", "7"), ("--idle-timeout", "3"), ("--min-rate", "10")] {
            assert_eq!(limits.set(option, value), Ok(()));
        }
        assert_eq!((limits.total(), limits.per_address(), limits.idle), (7, 3, Duration::from_secs(3)));
        for (option, value) in [("--max-connections", "0"), ("--idle-timeout", "1e9"), ("--header-timeout", "90000")] {
            assert!(limits.set(option, value).unwrap_err().contains(value));
        }
        for option in ConnectionLimits::OPTIONS {
            assert_eq!(limits.set(option, "9"), Ok(()), "{option}");
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_refused() {
        let limits = ConnectionLimits { total: Some(usize::MAX), ..ConnectionLimits::default() };
        assert!(limits.within_descriptors().unwrap_err().contains("ulimit -n"));
        let derived = ConnectionLimits::default().within_descriptors().unwrap();
        assert!((1..=MOST).contains(&derived.total()));
    }
}
