//! Reads, and how an answer becomes a version.

use super::FhirServer;
use super::content::{Content, WriteMark, incoming};
use super::fault::{ServerFault, refusal};
use super::wire::{OutgoingRequest, ServerResponse};
use crate::store::{Key, Result, StoreError, Tenant, Version, VersionId};
use time::OffsetDateTime;

/// The current state of a resource.
#[derive(Debug)]
pub(super) enum CurrentState {
    Never,
    /// With the number of the deletion, where it is told.
    Gone(Option<VersionId>),
    Living(Version),
}

impl CurrentState {
    /// The newest version, where it is told.
    pub(super) fn version(&self) -> Option<VersionId> {
        match self {
            Self::Never => None,
            Self::Gone(at) => *at,
            Self::Living(found) => Some(found.version),
        }
    }
}

/// A version, and the mark of the write that made it.
#[derive(Debug)]
pub(super) struct MarkedVersion {
    pub(super) version: Version,
    pub(super) mark: Option<WriteMark>,
}

/// Returns a resource as an answer or an entry shows it; `told` and `modified` are what is said of it outside.
pub(super) fn content_of(
    key: &Key,
    json: &[u8],
    told: Option<&str>,
    modified: Option<OffsetDateTime>,
) -> Result<MarkedVersion> {
    let content = incoming(key.resource_type(), json).map_err(|why| ServerFault::Unreadable { why })?;
    let version = version_of(key, &content, told, modified)?;
    Ok(MarkedVersion { version, mark: content.mark })
}

/// Returns a version as a server sent it.
pub(super) fn version_of(
    key: &Key,
    content: &Content,
    told: Option<&str>,
    modified: Option<OffsetDateTime>,
) -> Result<Version> {
    if content.id != key.id().as_str() {
        return Err(StoreError::corrupt(format!("in place of `{key}` came one with the id `{}`", content.id)));
    }
    let number = content.version.as_deref().or(told).ok_or(ServerFault::VersionMissing)?;
    let version = number.parse().map_err(|_| ServerFault::VersionNotANumber { found: number.to_owned() })?;
    if told.and_then(|told| told.parse::<VersionId>().ok()).is_some_and(|told| told != version) {
        let what = format!("`{key}` is version {version} in its `meta`, and another in its headers");
        return Err(StoreError::corrupt(what));
    }
    let last_updated = content.last_updated.or(modified).ok_or(ServerFault::TimeMissing)?;
    let (write_id, body) = (content.write_id, Some(content.body.clone()));
    Ok(Version { key: key.clone(), version, last_updated, write_id, body })
}

pub(super) fn in_answer(key: &Key, answer: &ServerResponse) -> Result<MarkedVersion> {
    content_of(key, answer.json()?, answer.version.as_deref(), answer.modified)
}

impl FhirServer {
    /// Returns the newest version with its mark, if it has a body.
    pub(super) async fn look_marked(&self, tenant: &Tenant, key: &Key) -> Result<Option<MarkedVersion>> {
        let answer = self.send(tenant, OutgoingRequest::get(&key.to_string())).await?;
        if answer.is_success() { in_answer(key, &answer).map(Some) } else { Ok(None) }
    }

    pub(super) async fn look(&self, tenant: &Tenant, key: &Key) -> Result<CurrentState> {
        let answer = self.send(tenant, OutgoingRequest::get(&key.to_string())).await?;
        match answer.status {
            404 => Ok(CurrentState::Never),
            410 => Ok(CurrentState::Gone(answer.number())),
            _ if answer.is_success() => {
                let found = in_answer(key, &answer)?.version;
                self.known.add(tenant, &found);
                Ok(CurrentState::Living(found))
            }
            _ => Err(refusal(&answer, false, self.options.max_body)),
        }
    }

    pub(super) async fn read_now(&self, tenant: &Tenant, key: &Key) -> Result<Version> {
        match self.look(tenant, key).await? {
            CurrentState::Living(version) => Ok(version),
            CurrentState::Never => Err(StoreError::not_found()),
            CurrentState::Gone(Some(at)) => Err(StoreError::gone(at)),
            CurrentState::Gone(None) if !self.options.history => Err(ServerFault::VersionMissing.into()),
            CurrentState::Gone(None) => {
                let newest = self.newest(tenant, key).await?;
                // It may have come back meanwhile.
                if newest.is_deleted() { Err(StoreError::gone(newest.version)) } else { Ok(newest) }
            }
        }
    }

    pub(super) async fn vread_now(&self, tenant: &Tenant, key: &Key, version: VersionId) -> Result<Version> {
        self.vread_marked(tenant, key, version).await.map(|found| found.version)
    }

    pub(super) async fn vread_marked(&self, tenant: &Tenant, key: &Key, version: VersionId) -> Result<MarkedVersion> {
        let answer = self.send(tenant, OutgoingRequest::get(&format!("{key}/_history/{version}"))).await?;
        match answer.status {
            410 => {}
            _ if answer.is_success() => {
                let found = in_answer(key, &answer)?;
                let right = found.version.version == version;
                let what = || format!("in place of version {version} of `{key}` came {}", found.version.version);
                return if right { Ok(found) } else { Err(StoreError::corrupt(what())) };
            }
            _ => return Err(refusal(&answer, false, self.options.max_body)),
        }
        let before = VersionId::new(version.get().saturating_sub(1)).ok_or(ServerFault::TimeMissing)?;
        let answer = self.send(tenant, OutgoingRequest::get(&format!("{key}/_history/{before}"))).await?;
        match answer.status {
            404 | 410 => Err(ServerFault::TimeMissing.into()),
            _ if answer.is_success() => {
                let version = deletion(in_answer(key, &answer)?.version, version);
                Ok(MarkedVersion { version, mark: None })
            }
            _ => Err(refusal(&answer, false, self.options.max_body)),
        }
    }
}

/// Returns the deletion of a version.
pub(super) fn deletion(of: Version, version: VersionId) -> Version {
    Version { version, write_id: None, body: None, ..of }
}
