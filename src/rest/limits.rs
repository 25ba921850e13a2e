//! What one request may cost.

use super::problem::{Problem, Result};
use crate::issue::{IssueType, Report};
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The limits of one request to a [`Server`](super::Server). A request beyond them is refused with an OperationOutcome that
/// names the limit; a page that would be too large is cut, and its `next` link leads on.
///
/// ```
/// use fhir_devices::rest::Limits;
/// let limits = Limits::default().with_entries(100).with_page_bytes(1 << 20);
/// assert_eq!((limits.entries(), limits.values()), (100, 1_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    entries: usize,
    answer_bytes: usize,
    page_bytes: usize,
    findings: usize,
    values: usize,
    parameters: usize,
    includes: usize,
    steps: usize,
    filtered_bytes: usize,
    read_memory: usize,
    operations: usize,
    patched_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000,
            answer_bytes: 32 << 20,
            page_bytes: 8 << 20,
            findings: Report::MOST,
            values: 1_000,
            parameters: 100,
            includes: 16,
            steps: 200_000,
            filtered_bytes: 256 << 20,
            read_memory: 64 << 20,
            operations: 1_000,
            patched_bytes: 4 << 20,
        }
    }
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident $with:ident;)*) => { $(
        $(#[$doc])*
        #[must_use]
        pub const fn $name(&self) -> usize {
            self.$name
        }

        #[doc = concat!("With another limit for [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[must_use]
        pub const fn $with(mut self, most: usize) -> Self {
            self.$name = most;
            self
        }
    )* };
}

impl Limits {
    limits! {
        /// The most entries of a batch or transaction: 5,000. Beyond it the Bundle is refused with 413.
        entries with_entries;
        /// The most bytes of the answer to a batch or transaction: 32 MiB. In a batch, entries that read after that are
        /// answered with 413 each, and those that write are carried out and answered without the resource; so are the
        /// entries of a transaction.
        answer_bytes with_answer_bytes;
        /// The most bytes of a page of a search or a history: 8 MiB. A page has one resource at the least, and is cut where
        /// the next one would go beyond.
        page_bytes with_page_bytes;
        /// The most findings of an OperationOutcome: 1,000, which is also [`Report::MOST`]. The last issue counts the rest.
        findings with_findings;
        /// The most values of a search, over all its parameters: 1,000. Beyond it: 400.
        values with_values;
        /// The most parameters of a search: 100. Beyond it: 400.
        parameters with_parameters;
        /// The most `_include` and `_revinclude` of a search: 16. Beyond it: 400.
        includes with_includes;
        /// The most resources that a request looks at, with all its entries and conditions: 200,000; a call of the store
        /// counts as 50. A search that comes to it gives what it has and a `next` link, anything else is refused with 400.
        steps with_steps;
        /// The most bytes of stored resources that a request reads into their elements, to check what the index cannot tell, to
        /// validate them or to show a part of them: 256 MiB. As `steps`.
        filtered_bytes with_filtered_bytes;
        /// The most bytes that the elements of a document may take in memory: 64 MiB. Beyond it the document is refused with
        /// 413.
        read_memory with_read_memory;
        /// The most operations of a patch: 1,000. Beyond it: 413.
        operations with_operations;
        /// The most bytes of a resource that a patch makes: 4 MiB. Beyond it: 413.
        patched_bytes with_patched_bytes;
    }
}

/// How many steps a call of the store counts as.
pub(super) const CALL: usize = 50;

/// What a request has cost so far.
#[derive(Debug)]
pub(super) struct Spent {
    steps: AtomicUsize,
    filtered: AtomicUsize,
    answered: AtomicUsize,
    /// The largest stored resource that is read into its elements, in bytes.
    largest: usize,
    /// The largest that is shown, in bytes.
    shown: usize,
    /// Whether there was a larger one.
    deferred: AtomicBool,
}

impl Default for Spent {
    fn default() -> Self {
        Self::with_largest(usize::MAX)
    }
}

impl Spent {
    /// Nothing yet, for a request that reads no stored resource of more than `largest` bytes into its elements.
    pub(super) fn with_largest(largest: usize) -> Self {
        let (steps, filtered, answered, deferred) = Default::default();
        Self { steps, filtered, answered, largest, shown: usize::MAX, deferred }
    }

    /// The same for a request that shows no stored resource of more bytes either.
    #[cfg(feature = "server")]
    pub(super) fn at_once(largest: usize) -> Self {
        Self { shown: largest, ..Self::with_largest(largest) }
    }

    /// Refuses to show a stored resource of so many bytes where that is for later.
    pub(super) fn may_show(&self, bytes: usize) -> Result<()> {
        if bytes <= self.shown {
            return Ok(());
        }
        self.deferred.store(true, Relaxed);
        Err(too_costly("the request shows a large resource"))
    }

    /// Refuses to read a stored resource of so many bytes into its elements where that is for later.
    pub(super) fn may_read(&self, bytes: usize) -> Result<()> {
        if bytes <= self.largest {
            return Ok(());
        }
        self.deferred.store(true, Relaxed);
        Err(too_costly("the request reads a large resource"))
    }

    /// Counts a stored resource of so many bytes that is read into its elements, and refuses it where the request has read as
    /// many as it may.
    pub(super) fn read(&self, bytes: usize, limits: &Limits) -> Result<()> {
        self.may_read(bytes)?;
        if self.filtered.load(Relaxed) >= limits.filtered_bytes {
            return Err(too_costly("the request reads more of large resources than one request may: send it in parts"));
        }
        self.look(0, bytes);
        Ok(())
    }

    /// Returns whether something was left for later, so that the answer is none.
    #[cfg(feature = "server")]
    pub(super) fn is_deferred(&self) -> bool {
        self.deferred.load(Relaxed)
    }

    /// Counts resources that were looked at, and the bytes of them that were read.
    pub(super) fn look(&self, steps: usize, bytes: usize) {
        self.steps.fetch_add(steps, Relaxed);
        self.filtered.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes of the answer.
    pub(super) fn answer(&self, bytes: usize) {
        self.answered.fetch_add(bytes, Relaxed);
    }

    /// Returns whether the request has looked at as much as it may.
    pub(super) fn is_exhausted(&self, limits: &Limits) -> bool {
        self.steps.load(Relaxed) >= limits.steps || self.filtered.load(Relaxed) >= limits.filtered_bytes
    }

    /// Refuses what would look further.
    pub(super) fn may_look(&self, limits: &Limits) -> Result<()> {
        if self.is_exhausted(limits) {
            return Err(too_costly(
                "the request looks at more resources than one request may: narrow it, or send it in parts",
            ));
        }
        Ok(())
    }

    /// Returns whether the answer has as many bytes as it may.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.answered.load(Relaxed) >= limits.answer_bytes
    }
}

/// Returns a request that asks for more than one request may.
pub(super) fn too_costly(words: impl Display) -> Problem {
    Problem::new(400, IssueType::TooCostly, "too-costly", words)
}

/// Checks the number of something in a search.
pub(super) fn at_most(found: usize, most: usize, what: &str) -> Result<()> {
    if found > most {
        return Err(too_costly(format_args!("the search has more than {most} {what}: ask in parts")));
    }
    Ok(())
}
