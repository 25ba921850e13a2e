//! Reads, and how an answer becomes a version.

use super::FhirServer;
use super::content::{Content, WriteMark};
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

impl FhirServer {
    /// Returns a resource as an answer or an entry shows it; `told` and `modified` are what is said of it outside.
    ///
    /// # Errors
    /// `NotFound` where it is of another type, as a component among the Devices of R4.
    pub(super) fn content_of(
        &self,
        key: &Key,
        json: &[u8],
        told: Option<&str>,
        modified: Option<OffsetDateTime>,
    ) -> Result<MarkedVersion> {
        let content = self.options.dialect.incoming(key.resource_type(), json);
        let content = content.map_err(|why| ServerFault::Unreadable { why })?.ok_or_else(StoreError::not_found)?;
        let version = version_of(key, &content, told, modified)?;
        Ok(MarkedVersion { version, mark: content.mark })
    }

    pub(super) fn in_answer(&self, key: &Key, answer: &ServerResponse) -> Result<MarkedVersion> {
        self.content_of(key, answer.json()?, answer.version.as_deref(), answer.modified)
    }

    /// The address of a resource below that of the tenant.
    pub(super) fn address(&self, key: &Key) -> String {
        self.options.dialect.address(key)
    }

    /// Returns the newest version with its mark, if it has a body.
    pub(super) async fn look_marked(&self, tenant: &Tenant, key: &Key) -> Result<Option<MarkedVersion>> {
        let answer = self.send(tenant, OutgoingRequest::get(&self.address(key))).await?;
        if answer.is_success() { self.in_answer(key, &answer).map(Some) } else { Ok(None) }
    }

    pub(super) async fn look(&self, tenant: &Tenant, key: &Key) -> Result<CurrentState> {
        let answer = self.send(tenant, OutgoingRequest::get(&self.address(key))).await?;
        match answer.status {
            404 => Ok(CurrentState::Never),
            410 => Ok(CurrentState::Gone(answer.number())),
            _ if answer.is_success() => match self.in_answer(key, &answer) {
                Ok(found) => {
                    self.known.add(tenant, &found.version);
                    Ok(CurrentState::Living(found.version))
                }
                Err(StoreError::NotFound { .. }) => Ok(CurrentState::Never),
                Err(error) => Err(error),
            },
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
        let answer =
            self.send(tenant, OutgoingRequest::get(&format!("{}/_history/{version}", self.address(key)))).await?;
        match answer.status {
            410 => {}
            _ if answer.is_success() => {
                let found = self.in_answer(key, &answer)?;
                let right = found.version.version == version;
                let what = || format!("in place of version {version} of `{key}` came {}", found.version.version);
                return if right { Ok(found) } else { Err(StoreError::corrupt(what())) };
            }
            _ => return Err(refusal(&answer, false, self.options.max_body)),
        }
        let before = VersionId::new(version.get().saturating_sub(1)).ok_or(ServerFault::TimeMissing)?;
        let answer =
            self.send(tenant, OutgoingRequest::get(&format!("{}/_history/{before}", self.address(key)))).await?;
        match answer.status {
            404 | 410 => Err(ServerFault::TimeMissing.into()),
            _ if answer.is_success() => {
                let version = deletion(self.in_answer(key, &answer)?.version, version);
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
