//! The states, rebuilt from the records.

use super::super::Name;
use super::{AuditRecord, Entity};
use crate::element::Raw;
use std::collections::BTreeMap;

/// Where something stands after its last record.
///
/// ```
/// # use fhir_devices::update::audit::Replayed;
/// fn is_over(replayed: &Replayed) -> bool {
///     replayed.name == "closed"
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The name of its state.
    pub name: Name,
    /// The state, as its machine wrote it.
    pub state: Raw,
    /// How many records it has.
    pub transitions: u64,
    /// The place of the last of them in the chain.
    pub last: u64,
}

/// A record that does not go on from the one before it of the same thing: a transition was not recorded.
///
/// ```
/// # use fhir_devices::update::audit::{Replayed, Unfit, replay};
/// let none: Result<_, Unfit> = replay([]);
/// assert!(none.unwrap().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index} goes on from {}, and {} was reached before it", state(.from), state(.reached))]
pub struct Unfit {
    /// The place of the record in the chain.
    pub index: u64,
    /// The state from which it says it goes on.
    pub from: Option<Name>,
    /// The state that the records before it led to.
    pub reached: Option<Name>,
}

fn state(name: &Option<Name>) -> String {
    name.as_ref().map_or_else(|| "nothing".to_owned(), |name| format!("the state `{name}`"))
}

/// The states to which the records of one tenant lead, in the order of the chain.
///
/// Every record must go on from the state to which the one before it of the same thing led, so that a transition without
/// a record is found. Whether the records are those that were written is for [`verify`](super::verify) to say.
///
/// # Errors
/// [`Unfit`] for the first record that does not go on from the state that was reached.
///
/// ```
/// # use fhir_devices::update::{IngestId, Name, audit::*};
/// let upload = Entity::Ingest(IngestId(7));
/// let draft = AuditDraft::new(upload, Name::new("submit")?, Name::new("open")?, r#"{"name":"open"}"#.parse()?);
/// let head = ChainHead::start("st-mary".parse()?);
/// let first = head.append(draft, Actor::service("gateway".parse()?), "2017-04-19T10:00:00Z".parse()?);
/// let states = replay([&first.record])?;
/// assert_eq!(states[&upload].state.as_str(), r#"{"name":"open"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay<'r>(records: impl IntoIterator<Item = &'r AuditRecord>) -> Result<BTreeMap<Entity, Replayed>, Unfit> {
    let mut states = BTreeMap::<Entity, Replayed>::new();
    for AuditRecord { index, what, .. } in records {
        let before = states.get(&what.entity);
        if before.map(|before| &before.name) != what.from.as_ref() {
            let reached = before.map(|before| before.name.clone());
            return Err(Unfit { index: *index, from: what.from.clone(), reached });
        }
        let transitions = before.map_or(1, |before| before.transitions.saturating_add(1));
        let after = Replayed { name: what.to.clone(), state: what.state.clone(), transitions, last: *index };
        states.insert(what.entity, after);
    }
    Ok(states)
}
