//! How long something takes: by the clock, and by the work of this thread, since a machine may be shared.

use std::time::{Duration, Instant};

/// When something began.
pub(crate) struct Start(Instant, Option<Duration>);

/// How long it took. Where the system does not tell the work, that is the time too.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) passed: Duration,
    pub(crate) worked: Duration,
}

impl Start {
    pub(crate) fn now() -> Self {
        Self(Instant::now(), work())
    }

    pub(crate) fn taken(&self) -> Taken {
        let passed = self.0.elapsed();
        let worked = self.1.and_then(|before| Some(work()?.saturating_sub(before))).unwrap_or(passed);
        Taken { passed, worked }
    }
}

/// What this thread has worked until now.
fn work() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
