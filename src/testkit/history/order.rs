//! The order of versions, for runs that are too long for the search for an order.

use super::super::store::{BrokenClause, ClauseResult};
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

/// An acknowledged write or an answered read, with the version that it made or saw.
///
/// ```
/// use fhir_devices::testkit::history::Acknowledged;
/// let write = Acknowledged { of: "pump", version: 1, wrote: true, began: 0, ended: 1 };
/// assert!(write.wrote);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged<K> {
    /// The object, such as a key.
    pub of: K,
    /// The number of the version.
    pub version: u64,
    /// Whether the call made it.
    pub wrote: bool,
    /// The moment at which the call was made.
    pub began: u64,
    /// The moment at which it was answered.
    pub ended: u64,
}

/// Checks that the versions agree with the times of the calls: no version is made twice, and no call returns an older
/// version than a call that was answered before it was made.
///
/// ```
/// use fhir_devices::testkit::history::{Acknowledged, in_order};
/// let write = |version, began, ended| Acknowledged { of: "pump", version, wrote: true, began, ended };
/// assert!(in_order(&[write(2, 0, 9), write(1, 1, 2), write(3, 10, 11)]).is_ok());
/// assert!(in_order(&[write(1, 0, 1), write(1, 2, 3)]).is_err());
/// assert!(in_order(&[write(2, 0, 1), write(1, 2, 3)]).is_err());
/// ```
///
/// # Errors
/// [`BrokenClause`], which shows the two calls.
pub fn in_order<K: Eq + Hash + Debug>(calls: &[Acknowledged<K>]) -> ClauseResult<()> {
    let mut parts: HashMap<&K, Vec<&Acknowledged<K>>> = HashMap::new();
    for call in calls {
        parts.entry(&call.of).or_default().push(call);
    }
    for mut part in parts.into_values() {
        let mut made: HashMap<u64, &Acknowledged<K>> = HashMap::new();
        for call in part.iter().filter(|call| call.wrote) {
            if let Some(other) = made.insert(call.version, call) {
                return Err(broken("made the same version", other, call));
            }
        }
        // Sorted by the time of the call; calls answered before that are merged in by the time of their answer.
        let mut by_end = part.clone();
        by_end.sort_by_key(|call| call.ended);
        part.sort_by_key(|call| call.began);
        let (mut ended, mut newest) = (by_end.into_iter().peekable(), None::<&Acknowledged<K>>);
        for call in part {
            while let Some(before) = ended.next_if(|before| before.ended < call.began) {
                if newest.is_none_or(|newest| newest.version < before.version) {
                    newest = Some(before);
                }
            }
            let oldest = newest.map_or(0, |newest| newest.version + u64::from(call.wrote));
            if let Some(newest) = newest.filter(|_| call.version < oldest) {
                return Err(broken("are out of order", newest, call));
            }
        }
    }
    Ok(())
}

fn broken<K: Debug>(how: &str, one: &Acknowledged<K>, other: &Acknowledged<K>) -> BrokenClause {
    BrokenClause::new("history", format!("two calls {how}: {one:?} and {other:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_read_is_out_of_order() {
        let call = |version, wrote, began, ended| Acknowledged { of: 0, version, wrote, began, ended };
        let history = [call(1, true, 0, 1), call(2, true, 2, 5), call(1, false, 3, 4), call(2, false, 6, 7)];
        assert!(in_order(&history).is_ok());
        assert!(in_order(&[&history[..], &[call(1, false, 8, 9)]].concat()).is_err());
        // Each object has an order of its own.
        let other = Acknowledged { of: 1, ..call(1, false, 8, 9) };
        assert!(in_order(&[&history[..], &[other]].concat()).is_ok());
    }
}
