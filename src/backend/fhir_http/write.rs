//! Creations, updates and deletions.

use super::super::form::check_writes;
use super::FhirServer;
use super::content::outgoing;
use super::fault::{ServerFault, refusal, unknown};
use super::read::{Look, deletion, in_answer};
use super::wire::{Answer, Ask};
use crate::store::{CommitError, Key, Precondition, Result, StoreError, Tenant, Version, VersionId, Write};

/// How often a write is tried that others keep overtaking.
const TRIES: u32 = 8;

fn overtaken() -> StoreError {
    StoreError::Throttled { retry_after: None }
}

impl FhirServer {
    pub(super) async fn commit_now(&self, tenant: &Tenant, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        check_writes(&writes, 1, self.max_body)?;
        let mut made = Vec::new();
        for write in writes {
            let version = self.write(tenant, &write).await.map_err(|error| CommitError::at(0, error))?;
            made.push(version);
        }
        Ok(made)
    }

    async fn write(&self, tenant: &Tenant, write: &Write) -> Result<Version> {
        let (key, when) = (&write.key, write.when);
        let Some(body) = &write.body else { return self.delete(tenant, key, when).await };
        let body = &outgoing(key, body, write.write_id.filter(|_| self.write_ids))?;
        match when {
            Precondition::Absent => self.create(tenant, key, body).await,
            Precondition::Version(version) => self.update(tenant, key, version, body).await,
            Precondition::Exists => {
                for _ in 0..TRIES {
                    let version = self.read_now(tenant, key).await?.version;
                    match self.update(tenant, key, version, body).await {
                        Err(StoreError::Conflict { .. }) => {}
                        done => return done,
                    }
                }
                Err(overtaken())
            }
            Precondition::None => self.put(tenant, key, body).await,
        }
    }

    async fn create(&self, tenant: &Tenant, key: &Key, body: &str) -> Result<Version> {
        let looked = if self.looks_first { Some(self.look(tenant, key).await?) } else { None };
        if let Some(Look::Living(version)) = &looked {
            return Err(StoreError::AlreadyExists { current: Some(version.version) });
        }
        let answer = self.send(tenant, Ask::put(&key.to_string(), Some(("if-none-match", "*".into())), body)).await?;
        match answer.status {
            409 | 412 => return Err(StoreError::AlreadyExists { current: None }),
            404 | 405 => return Err(StoreError::Unsupported { what: "a creation under an id of the caller's" }),
            _ => {}
        }
        let made = self.made(tenant, key, &answer).await?;
        let expected = match looked {
            Some(Look::Gone(at)) => at.map(VersionId::next),
            _ => Some(VersionId::FIRST),
        };
        // 201 says that there was none; where 200 is said, the number tells.
        if answer.status == 200 && !self.gaps && expected.is_some_and(|expected| expected != made.version) {
            return Err(ServerFault::ConditionIgnored { made: made.version.get() }.into());
        }
        Ok(made)
    }

    async fn update(&self, tenant: &Tenant, key: &Key, version: VersionId, body: &str) -> Result<Version> {
        let answer = self.send(tenant, Ask::put(&key.to_string(), Some(("if-match", version.etag())), body)).await?;
        if matches!(answer.status, 404 | 409 | 410 | 412) {
            return Err(StoreError::Conflict { current: None });
        }
        let made = self.made(tenant, key, &answer).await?;
        if made.version != version.next() && !self.gaps {
            return Err(ServerFault::ConditionIgnored { made: made.version.get() }.into());
        }
        Ok(made)
    }

    /// Whatever is there.
    async fn put(&self, tenant: &Tenant, key: &Key, body: &str) -> Result<Version> {
        let answer = self.send(tenant, Ask::put(&key.to_string(), None, body)).await?;
        // Some servers want a version, and some know no blind write that another may overtake.
        if !matches!(answer.status, 409 | 412 | 428) {
            return self.made(tenant, key, &answer).await;
        }
        for _ in 0..TRIES {
            let done = match self.look(tenant, key).await? {
                Look::Living(found) => self.update(tenant, key, found.version, body).await,
                Look::Never | Look::Gone(_) => self.create(tenant, key, body).await,
            };
            match done {
                Err(StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) => {}
                done => return done,
            }
        }
        Err(overtaken())
    }

    async fn delete(&self, tenant: &Tenant, key: &Key, when: Precondition) -> Result<Version> {
        for _ in 0..TRIES {
            let living = match (self.read_now(tenant, key).await, when) {
                (Ok(living), Precondition::Version(wanted)) if living.version != wanted => {
                    return Err(StoreError::Conflict { current: Some(living.version) });
                }
                (Ok(living), _) => living,
                (Err(StoreError::NotFound), Precondition::Version(_)) => {
                    return Err(StoreError::Conflict { current: None });
                }
                (Err(StoreError::Gone { at }), Precondition::Version(_)) => {
                    return Err(StoreError::Conflict { current: Some(at) });
                }
                (Err(error), _) => return Err(error),
            };
            let answer = self.send(tenant, Ask::delete(&key.to_string(), living.version)).await?;
            match answer.status {
                404 | 409 | 410 | 412 if matches!(when, Precondition::Version(_)) => {
                    return Err(StoreError::Conflict { current: None });
                }
                404 | 409 | 410 | 412 => {}
                _ if answer.is_success() => return self.deleted(living, &answer),
                _ => return Err(refusal(&answer, true, self.max_body)),
            }
        }
        Err(overtaken())
    }

    fn deleted(&self, living: Version, answer: &Answer) -> Result<Version> {
        // Some servers tell the version that was there.
        let told = answer.number().filter(|told| *told != living.version);
        let next = living.version.next();
        match told {
            Some(told) if told != next && !self.gaps => Err(ServerFault::ConditionIgnored { made: told.get() }.into()),
            Some(told) => Ok(deletion(living, told)),
            None if self.gaps => Err(unknown(ServerFault::VersionNotTold)),
            None => Ok(deletion(living, next)),
        }
    }

    /// The version that a write made. It was applied, so that whatever goes wrong now leaves its outcome unknown.
    async fn made(&self, tenant: &Tenant, key: &Key, answer: &Answer) -> Result<Version> {
        if !answer.is_success() {
            return Err(refusal(answer, true, self.max_body));
        }
        let told = answer.version.as_deref();
        match in_answer(key, answer) {
            Ok(version) => return Ok(version),
            // What is told is told wrongly.
            Err(StoreError::Backend { source }) if source.downcast_ref().is_some_and(is_unreadable) => {}
            Err(error) => return Err(unknown(error)),
        }
        let Some(number) = answer.number() else {
            let fault = told
                .map_or(ServerFault::VersionNotTold, |told| ServerFault::VersionNotANumber { found: told.to_owned() });
            return Err(unknown(fault));
        };
        let found =
            if self.history { self.vread_now(tenant, key, number).await } else { self.read_now(tenant, key).await };
        match found {
            Ok(version) if version.version == number => Ok(version),
            Ok(_) => Err(unknown(ServerFault::VersionNotTold)),
            Err(error) => Err(unknown(error)),
        }
    }
}

/// Whether the answer shows no resource, or none with a time or a version, rather than a wrong one.
fn is_unreadable(fault: &ServerFault) -> bool {
    matches!(fault, ServerFault::Unreadable { .. } | ServerFault::TimeNotTold | ServerFault::VersionNotTold)
}
