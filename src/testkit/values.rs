//! The strategy behind all others: a generated document, read as a value, that stays valid while it shrinks.

use super::generator::{DocumentGenerator, Made};
use super::json::Json;
use super::rules;
use super::shrink::{edited, edits};
use super::texts::Texts;
use crate::element::{ReadMode, Reader, Value};
use crate::issue::{Path, Report};
use crate::validate::{Validator, walk_from};
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{Reason, TestRunner};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Values of a declared type.
pub(super) struct Values<T> {
    root: &'static str,
    make: fn(&mut DocumentGenerator<'_>) -> Made<Json>,
    texts: Arc<Texts>,
    of: PhantomData<fn() -> T>,
}

impl<T> Values<T> {
    pub(super) fn new(root: &'static str, make: fn(&mut DocumentGenerator<'_>) -> Made<Json>) -> Self {
        Self { root, make, texts: Arc::new(Texts::new()), of: PhantomData }
    }
}

impl<T> Clone for Values<T> {
    fn clone(&self) -> Self {
        Self { texts: Arc::clone(&self.texts), ..*self }
    }
}

impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values of {}", self.root)
    }
}

/// A value, and the document it was read from.
#[derive(Clone, Debug)]
struct Known<T> {
    json: Json,
    value: T,
}

/// A value in the process of shrinking.
#[derive(Debug)]
pub(super) struct Shrinking<T> {
    root: &'static str,
    /// The smallest value known to fail the test.
    best: Known<T>,
    /// The value on trial.
    trial: Option<Known<T>>,
    /// The number of the change tried last.
    next: usize,
    /// Whether a change was kept since the first one, so that earlier changes may be possible now.
    again: bool,
}

/// Reads and validates a document; fails with the report if it has an error. Warnings about codes outside an extensible
/// value set are expected, as codes are arbitrary.
fn read<T: Value>(json: &Json, root: &'static str) -> Result<T, Report> {
    let text = json.to_text();
    let mut r = Reader::new(&text, ReadMode::Strict);
    let mut value = T::blank();
    // The report says where reading stopped.
    let _ = value.read(&mut r, &Path::root(root));
    let report = r.into_report(root);
    let report = if !report.has_errors() { walk_from(&value, root, &Validator::new()) } else { report };
    if report.has_errors() { Err(report) } else { Ok(value) }
}

/// How often a document is repaired before it counts as a fault of the test kit.
const MENDED: usize = 8;

impl<T: Value + Clone + fmt::Debug> Strategy for Values<T> {
    type Tree = Shrinking<T>;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut json = (self.make)(&mut DocumentGenerator::new(runner, &self.texts))?;
        for _ in 0..MENDED {
            match read(&json, self.root) {
                Ok(value) => {
                    let best = Known { json, value };
                    return Ok(Shrinking { root: self.root, best, trial: None, next: 0, again: false });
                }
                Err(report) if rules::mend(&mut json, self.root, &report) => {}
                Err(report) => {
                    return Err(Reason::from(format!("made what is not valid: {report}\n{}", json.to_text())));
                }
            }
        }
        Err(Reason::from(format!("made what cannot be mended: {}", json.to_text())))
    }
}

impl<T: Value> Shrinking<T> {
    /// Tries the next change that leaves the document valid.
    fn advance(&mut self) -> bool {
        loop {
            for edit in edits(&self.best.json).iter().skip(self.next) {
                let smaller = edited(&self.best.json, edit).filter(|json| *json != self.best.json);
                let known = smaller.and_then(|json| Some(Known { value: read(&json, self.root).ok()?, json }));
                if known.is_some() {
                    self.trial = known;
                    return true;
                }
                self.next += 1;
            }
            if !std::mem::take(&mut self.again) {
                return false;
            }
            self.next = 0;
        }
    }
}

impl<T: Value + Clone + fmt::Debug> ValueTree for Shrinking<T> {
    type Value = T;

    fn current(&self) -> T {
        self.trial.as_ref().unwrap_or(&self.best).value.clone()
    }

    fn simplify(&mut self) -> bool {
        if let Some(smaller) = self.trial.take() {
            self.best = smaller;
            self.again = true;
        }
        self.advance()
    }

    fn complicate(&mut self) -> bool {
        if self.trial.take().is_none() {
            return false;
        }
        self.next += 1;
        // Without another change the value is the smallest again; an outer filter may wait for that.
        self.advance();
        true
    }
}
