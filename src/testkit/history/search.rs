//! The search for an order of calls that explains their answers (Wing and Gong's algorithm, with Lowe's memoization).

use std::collections::HashSet;
use std::hash::Hash;

/// A recorded call of a history.
///
/// ```
/// use fhir_devices::testkit::history::Recorded;
/// let unknown = Recorded { call: "add", answer: None::<u8>, began: 3, ended: 4 };
/// assert!(unknown.answer.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<C, A> {
    /// The request.
    pub call: C,
    /// The answer; `None` where the outcome is unknown: the call may take effect at any time after it began, or never.
    pub answer: Option<A>,
    /// The moment at which the call was made.
    pub began: u64,
    /// The moment at which the call was answered. Two calls are ordered when one was answered before the other was
    /// made.
    pub ended: u64,
}

/// The sequential specification of an object.
///
/// ```
/// use fhir_devices::testkit::history::{Model, Recorded, linearizable};
/// /// A counter: a call adds, and is answered with the sum.
/// struct Counter;
/// impl Model for Counter {
///     type State = u8;
///     type Call = u8;
///     type Answer = u8;
///     fn step(&self, state: &u8, call: &u8) -> (u8, u8) {
///         (state + call, state + call)
///     }
/// }
/// let call = |answer, began, ended| Recorded { call: 1, answer: Some(answer), began, ended };
/// assert!(linearizable(&Counter, 0, &[call(2, 0, 3), call(1, 1, 2)]));
/// assert!(!linearizable(&Counter, 0, &[call(2, 0, 1), call(1, 2, 3)]));
/// ```
pub trait Model {
    /// The state of the object.
    type State: Clone + Eq + Hash;
    /// A request.
    type Call;
    /// An answer.
    type Answer: PartialEq;

    /// Returns the state after a call, and the answer to it.
    fn step(&self, state: &Self::State, call: &Self::Call) -> (Self::State, Self::Answer);
}

/// Returns whether the history is linearizable.
///
/// The search may visit every subset of the overlapping calls: keep histories short, and split them by object, since a
/// history is linearizable when the part of each object is.
#[must_use]
pub fn linearizable<M: Model>(model: &M, start: M::State, calls: &[Recorded<M::Call, M::Answer>]) -> bool {
    let mut found = false;
    search(model, start, calls, |_| {
        found = true;
        false
    });
    found
}

/// Reports each possible final state, until the callback stops the search.
fn search<M: Model>(
    model: &M,
    start: M::State,
    calls: &[Recorded<M::Call, M::Answer>],
    mut goes_on: impl FnMut(&M::State) -> bool,
) {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by_key(|call| call.began);
    let mut seen = HashSet::new();
    let mut open = vec![(vec![false; calls.len()], start)];
    while let Some((done, state)) = open.pop() {
        let left = || calls.iter().zip(&done).enumerate().filter(|(_, (_, done))| !**done);
        // A call of unknown outcome blocks no other.
        let first_end = left().filter(|(_, (call, _))| call.answer.is_some()).map(|(_, (call, _))| call.ended).min();
        let Some(first_end) = first_end else {
            if goes_on(&state) {
                continue;
            }
            return;
        };
        for (at, (call, _)) in left().take_while(|(_, (call, _))| call.began <= first_end) {
            let (next, answer) = model.step(&state, &call.call);
            let explained = call.answer.as_ref().is_none_or(|told| *told == answer);
            if !explained || (call.answer.is_none() && next == state) {
                continue;
            }
            let mut done = done.clone();
            if let Some(done) = done.get_mut(at) {
                *done = true;
            }
            if seen.insert((done.clone(), next.clone())) {
                open.push((done, next));
            }
        }
    }
}

/// A state, and the calls after it.
pub(super) type Excerpt<M> = (<M as Model>::State, Vec<Recorded<<M as Model>::Call, <M as Model>::Answer>>);

/// Cuts a history without an order down to the contradiction: a state, and calls after it that no order explains.
///
/// Left out are the calls after the first contradiction, calls without an effect (reads and refusals, by `idle`) that
/// the contradiction does not need, and a beginning that leaves one certain state. None of them could explain the rest.
pub(super) fn smallest<M: Model>(
    model: &M,
    start: M::State,
    calls: &[Recorded<M::Call, M::Answer>],
    idle: impl Fn(&Recorded<M::Call, M::Answer>) -> bool,
) -> Excerpt<M>
where
    M::Call: Clone,
    M::Answer: Clone,
{
    // Returns the history up to a moment; calls in progress at that moment have an unknown outcome.
    let until = |moment: u64| {
        let before = calls.iter().filter(|call| call.began <= moment).cloned();
        let cut = before.map(|call| if call.ended > moment { Recorded { answer: None, ..call } } else { call });
        cut.collect::<Vec<_>>()
    };
    let mut ends: Vec<_> = calls.iter().map(|call| call.ended).collect();
    ends.sort_unstable();
    let first = ends.partition_point(|end| linearizable(model, start.clone(), &until(*end)));
    let mut left = ends.get(first).map_or_else(|| calls.to_vec(), |end| until(*end));
    left.sort_by_key(|call| call.began);
    for at in (0..left.len()).rev() {
        let mut without = left.clone();
        let call = without.remove(at);
        if (call.answer.is_none() || idle(&call)) && !linearizable(model, start.clone(), &without) {
            left = without;
        }
    }
    for at in (1..left.len()).rev() {
        let Some((head, tail)) = left.split_at_checked(at) else { continue };
        let ended = head.iter().map(|call| call.ended).max();
        let begins = tail.first().map(|call| call.began);
        if ended >= begins || head.iter().any(|call| call.answer.is_none()) {
            continue;
        }
        let mut states = HashSet::new();
        search(model, start.clone(), head, |state| {
            states.insert(state.clone());
            states.len() < 2
        });
        if let (Some(state), true) = (states.iter().next(), states.len() == 1)
            && !linearizable(model, state.clone(), tail)
        {
            return (state.clone(), tail.to_vec());
        }
    }
    (start, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: `Some` writes, `None` reads.
    struct Register;

    impl Model for Register {
        type State = u8;
        type Call = Option<u8>;
        type Answer = u8;

        fn step(&self, state: &u8, call: &Option<u8>) -> (u8, u8) {
            let now = call.unwrap_or(*state);
            (now, now)
        }
    }

    fn write(value: u8, began: u64, ended: u64) -> Recorded<Option<u8>, u8> {
        Recorded { call: Some(value), answer: Some(value), began, ended }
    }

    fn read(value: u8, began: u64, ended: u64) -> Recorded<Option<u8>, u8> {
        Recorded { call: None, answer: Some(value), began, ended }
    }

    fn holds(calls: &[Recorded<Option<u8>, u8>]) -> bool {
        linearizable(&Register, 0, calls)
    }

    #[test]
    fn read_may_see_an_overlapping_or_earlier_write() {
        assert!(holds(&[]));
        assert!(holds(&[write(1, 0, 1), read(1, 2, 3)]));
        assert!(holds(&[write(1, 0, 5), read(0, 1, 2), read(1, 3, 4)]));
        assert!(!holds(&[write(1, 0, 5), read(1, 1, 2), read(0, 3, 4)]));
        assert!(!holds(&[write(1, 0, 1), read(0, 2, 3)]));
        assert!(!holds(&[read(1, 0, 1), write(1, 2, 3)]));
    }

    #[test]
    fn unknown_outcome_may_apply_later_or_never() {
        let lost = Recorded { answer: None, ..write(1, 0, 1) };
        assert!(holds(std::slice::from_ref(&lost)));
        assert!(holds(&[lost.clone(), read(0, 2, 3), read(1, 4, 5)]));
        assert!(holds(&[lost.clone(), read(0, 2, 3), write(2, 4, 5), read(1, 6, 7)]));
        assert!(!holds(&[lost.clone(), read(1, 2, 3), read(0, 4, 5)]));
        // The lost write takes effect once.
        assert!(!holds(&[lost, read(1, 2, 3), write(2, 4, 5), read(1, 6, 7)]));
    }

    #[test]
    fn failing_history_shrinks_to_the_contradiction() {
        let idle = |call: &Recorded<Option<u8>, u8>| call.call.is_none();
        let before = (0..50).flat_map(|at| [write(at + 1, 4 * u64::from(at), 4 * u64::from(at) + 1)]);
        let mut calls: Vec<_> = before.collect();
        // A write, correct reads, one wrong read, and later calls.
        calls.extend([
            write(99, 300, 301),
            read(99, 302, 303),
            read(50, 304, 305),
            read(99, 306, 307),
            write(7, 308, 309),
        ]);
        assert_eq!(smallest(&Register, 0, &calls, idle), (99, vec![read(50, 304, 305)]));
        let calls = [write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(2, 13, 14), read(2, 15, 16)];
        // The first read fixes the order of the writes.
        assert_eq!(smallest(&Register, 0, &calls, idle), (1, calls[3..4].to_vec()));
    }

    #[test]
    fn readers_agree_on_the_order_of_writes() {
        let writes = [write(1, 0, 10), write(2, 0, 10)];
        assert!(holds(&[&writes[..], &[read(2, 11, 12), read(2, 13, 14)]].concat()));
        assert!(!holds(&[&writes[..], &[read(1, 11, 12), read(2, 13, 14)]].concat()));
    }
}
