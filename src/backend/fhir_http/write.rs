//! Creations, updates and deletions.

use super::super::checks::check_writes;
use super::FhirServer;
use super::content::WriteMark;
use super::fault::{ServerFault, invalid, refusal, since_applied, unknown};
use super::options::{Creation, Deletion};
use super::read::{CurrentState, MarkedVersion, deletion};
use super::wire::{OutgoingRequest, ServerResponse};
use crate::store::{CommitError, Key, Precondition, Result, StoreError, Tenant, Version, VersionId, Write, WriteId};

/// The number of tries of a write that is overtaken by others.
const TRIES: u32 = 8;
/// The number of tries of a write that the server refuses although its condition holds.
const MAX_REFUSED_TRIES: u32 = 3;

/// An entity tag that no version has.
pub(super) const NO_VERSION: &str = "W/\"0\"";

pub(super) fn overtaken() -> StoreError {
    StoreError::throttled(None)
}

/// A resource to send.
pub(super) struct Draft<'a> {
    pub(super) key: &'a Key,
    pub(super) address: String,
    pub(super) body: String,
    mark: Option<WriteMark>,
}

impl Draft<'_> {
    /// Returns the version that is shown, if it is the one that this write made.
    pub(super) fn made(&self, shown: MarkedVersion) -> Result<Version> {
        match self.mark.is_none() || shown.mark == self.mark {
            true => Ok(shown.version),
            false => Err(unknown(ServerFault::WriteIdLost)),
        }
    }
}

/// The condition that the newest version is this one.
fn if_match(version: VersionId) -> Option<(&'static str, String)> {
    Some(("if-match", version.etag()))
}

impl FhirServer {
    /// Returns what is sent of a write with this body.
    pub(super) fn draft<'a>(&self, key: &'a Key, body: &[u8], write_id: Option<WriteId>) -> Result<Draft<'a>> {
        let marked = write_id.is_some() || self.options.marks;
        let mark = marked.then(|| WriteMark::new(write_id)).transpose()?;
        let body = self.options.dialect.outgoing(key, body, mark.as_ref(), &self.options.canonical)?;
        Ok(Draft { key, address: self.address(key), body, mark })
    }

    pub(super) async fn commit_now(&self, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        check_writes(&writes, self.options.max_writes, self.options.max_body)?;
        match writes.as_slice() {
            [] => Ok(Vec::new()),
            [write] => match self.write(tenant, write).await {
                Ok(version) => Ok(vec![version]),
                Err(error) => Err(CommitError::at(0, error)),
            },
            writes => self.transaction(tenant, writes).await,
        }
    }

    async fn write(&self, tenant: &Tenant, write: &Write) -> Result<Version> {
        let (key, when, write_id) = (&write.key, write.precondition, write.write_id);
        let Some(body) = &write.body else { return self.delete(tenant, key, when).await };
        let draft = &self.draft(key, body, write_id)?;
        match when {
            Precondition::Absent => self.create(tenant, draft).await,
            Precondition::Version(version) => self.update(tenant, draft, version).await,
            Precondition::Exists => {
                for _ in 0..TRIES {
                    let version = self.read_now(tenant, key).await?.version;
                    match self.update(tenant, draft, version).await {
                        Err(StoreError::Conflict { .. }) => {}
                        done => return done,
                    }
                }
                Err(overtaken())
            }
            Precondition::None => self.put(tenant, draft).await,
        }
    }

    async fn create(&self, tenant: &Tenant, draft: &Draft<'_>) -> Result<Version> {
        let looks_first = self.options.creation == Creation::Unproven;
        let mut known = if looks_first { Some(self.look(tenant, draft.key).await?) } else { None };
        for tries in 1.. {
            if let Some(CurrentState::Living(version)) = &known {
                return Err(StoreError::already_exists(Some(version.version)));
            }
            let condition = match (self.options.creation, &known) {
                (Creation::Unproven | Creation::IfNoneMatch, _) => Some(("if-none-match", "*".into())),
                (Creation::IfMatch, Some(CurrentState::Gone(Some(at)))) => if_match(*at),
                (Creation::IfMatch, Some(CurrentState::Gone(None))) => match self.newest(tenant, draft.key).await? {
                    newest if newest.is_deleted() => if_match(newest.version),
                    living => return Err(StoreError::already_exists(Some(living.version))),
                },
                (Creation::IfMatch, _) => Some(("if-match", NO_VERSION.into())),
            };
            let answer = self.send(tenant, OutgoingRequest::put(&draft.address, condition, &draft.body)).await?;
            match answer.status {
                409 | 412 if tries >= MAX_REFUSED_TRIES => return Err(invalid(&answer)),
                // What another made meanwhile is there, unless it is gone again.
                409 | 412 => known = Some(self.look(tenant, draft.key).await?),
                404 | 405 => return Err(StoreError::unsupported("a creation under an id of the caller's")),
                status => {
                    let made = self.made(tenant, draft, &answer).await?;
                    let expected = match known {
                        Some(CurrentState::Gone(at)) => at.map(VersionId::next),
                        _ => Some(VersionId::FIRST),
                    };
                    // 201 says that there was none; where 200 is said, the number tells.
                    let wrong = expected.is_some_and(|expected| expected != made.version);
                    if status != 201 && wrong && !self.options.gaps {
                        return Err(ServerFault::ConditionIgnored { made: made.version.get() }.into());
                    }
                    return Ok(made);
                }
            }
        }
        Err(overtaken())
    }

    async fn update(&self, tenant: &Tenant, draft: &Draft<'_>, version: VersionId) -> Result<Version> {
        if self.options.update_may_create && !self.known.contains(tenant, draft.key, version) {
            match self.look(tenant, draft.key).await? {
                CurrentState::Living(found) if found.version == version => {}
                other => return Err(StoreError::conflict(other.version())),
            }
        }
        for tries in 1.. {
            let condition = if_match(version);
            let answer = self.send(tenant, OutgoingRequest::put(&draft.address, condition, &draft.body)).await?;
            if !matches!(answer.status, 404 | 409 | 410 | 412) {
                let made = self.made(tenant, draft, &answer).await?;
                if made.version != version.next() && !self.options.gaps {
                    return Err(ServerFault::ConditionIgnored { made: made.version.get() }.into());
                }
                return Ok(made);
            }
            // The status has other meanings too: a rule that is broken, a lock.
            match self.look(tenant, draft.key).await {
                Ok(CurrentState::Living(found)) if found.version == version => {}
                Ok(CurrentState::Living(found)) => return Err(StoreError::conflict(Some(found.version))),
                Ok(CurrentState::Gone(current)) => return Err(StoreError::conflict(current)),
                Ok(CurrentState::Never) | Err(_) => return Err(StoreError::conflict(None)),
            }
            if tries >= MAX_REFUSED_TRIES {
                return Err(invalid(&answer));
            }
        }
        Err(overtaken())
    }

    /// Whatever is there.
    async fn put(&self, tenant: &Tenant, draft: &Draft<'_>) -> Result<Version> {
        let answer = self.send(tenant, OutgoingRequest::put(&draft.address, None, &draft.body)).await?;
        match answer.status {
            // Some servers want a version, and some know no blind write that another may overtake.
            409 | 412 | 428 => {}
            404 | 405 => return Err(StoreError::unsupported("a creation under an id of the caller's")),
            _ => return self.made(tenant, draft, &answer).await,
        }
        for _ in 0..TRIES {
            let done = match self.look(tenant, draft.key).await? {
                CurrentState::Living(found) => self.update(tenant, draft, found.version).await,
                CurrentState::Never | CurrentState::Gone(_) => self.create(tenant, draft).await,
            };
            match done {
                Err(StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) => {}
                done => return done,
            }
        }
        Err(overtaken())
    }

    async fn delete(&self, tenant: &Tenant, key: &Key, when: Precondition) -> Result<Version> {
        let mut refused: Option<(VersionId, u32)> = None;
        for _ in 0..TRIES {
            let living = match (self.read_now(tenant, key).await, when) {
                (Ok(living), Precondition::Version(wanted)) if living.version != wanted => {
                    return Err(StoreError::conflict(Some(living.version)));
                }
                (Ok(living), _) => living,
                (Err(StoreError::NotFound { .. }), Precondition::Version(_)) => {
                    return Err(StoreError::conflict(None));
                }
                (Err(StoreError::Gone { at, .. }), Precondition::Version(_)) => {
                    return Err(StoreError::conflict(Some(at)));
                }
                (Err(error), _) => return Err(error),
            };
            let address = match self.options.deletion {
                Deletion::Address => format!("{}/_history/{}", self.address(key), living.version),
                Deletion::Unproven | Deletion::IfMatch => self.address(key),
            };
            let answer = self.send(tenant, OutgoingRequest::delete(&address, living.version)).await?;
            match answer.status {
                404 | 409 | 410 | 412 => {
                    let times = refused.filter(|(of, _)| *of == living.version).map_or(1, |(_, times)| times + 1);
                    if times >= MAX_REFUSED_TRIES {
                        return Err(invalid(&answer));
                    }
                    refused = Some((living.version, times));
                }
                _ if answer.is_success() => return self.deleted(tenant, living, &answer).await,
                _ => return Err(refusal(&answer, true, self.options.max_body)),
            }
        }
        Err(overtaken())
    }

    /// Returns the deletion that was made of what was living.
    async fn deleted(&self, tenant: &Tenant, living: Version, answer: &ServerResponse) -> Result<Version> {
        let next = living.version.next();
        // Some servers tell the version that was there, or how many they deleted.
        let told = match answer.number().filter(|told| *told > living.version) {
            Some(told) => Some(told),
            None => self.number_of_deletion(tenant, &living).await?,
        };
        match told {
            Some(told) if told != next && !self.options.gaps => {
                Err(ServerFault::ConditionIgnored { made: told.get() }.into())
            }
            Some(told) => Ok(deletion(living, told)),
            None if self.options.gaps => Err(unknown(ServerFault::VersionMissing)),
            None => Ok(deletion(living, next)),
        }
    }

    /// Returns what a deletion is numbered that was answered without a number; `None` where nothing tells.
    pub(super) async fn number_of_deletion(&self, tenant: &Tenant, living: &Version) -> Result<Option<VersionId>> {
        let kept = || ServerFault::UnexpectedStatus { status: 200, text: "what was deleted is still there".to_owned() };
        match self.look(tenant, &living.key).await.map_err(since_applied)? {
            CurrentState::Living(found) if found.version == living.version => Err(unknown(kept())),
            // Another has made it anew.
            CurrentState::Living(_) | CurrentState::Never => Ok(None),
            CurrentState::Gone(Some(at)) => Ok(Some(at)),
            CurrentState::Gone(None) if !self.options.history => Ok(None),
            CurrentState::Gone(None) => {
                let newest = self.newest(tenant, &living.key).await.map_err(since_applied)?;
                Ok(newest.is_deleted().then_some(newest.version))
            }
        }
    }

    /// Returns the version that a write made. It was applied, so that whatever goes wrong now leaves its outcome
    /// unknown.
    async fn made(&self, tenant: &Tenant, draft: &Draft<'_>, answer: &ServerResponse) -> Result<Version> {
        if !answer.is_success() {
            return Err(refusal(answer, true, self.options.max_body));
        }
        let shown = match (self.in_answer(draft.key, answer), answer.number()) {
            (Ok(shown), _) => shown,
            (Err(wrong @ StoreError::Corrupt { .. }), _) => return Err(since_applied(wrong)),
            // The answer shows no resource, or not all of it.
            (Err(_), Some(number)) if self.options.history => {
                self.vread_marked(tenant, draft.key, number).await.map_err(since_applied)?
            }
            (Err(_), Some(number)) => match self.look_marked(tenant, draft.key).await.map_err(since_applied)? {
                Some(found) if found.version.version == number => found,
                _ => return Err(unknown(ServerFault::VersionMissing)),
            },
            (Err(unreadable), None) => {
                let named =
                    answer.version.as_ref().map(|found| ServerFault::VersionNotANumber { found: found.clone() });
                return Err(named.map_or_else(|| since_applied(unreadable), unknown));
            }
        };
        let made = draft.made(shown)?;
        self.known.add(tenant, &made);
        Ok(made)
    }
}
