//! Commits of several writes, each as one transaction.

use super::super::checks::{Newest, check};
use super::FhirServer;
use super::fault::{ServerFault, invalid, refusal, since_applied, unknown};
use super::options::{Creation, Options};
use super::place::{Entry, read};
use super::read::deletion;
use super::wire::{OutgoingRequest, ServerResponse};
use super::write::{Draft, NO_VERSION, overtaken};
use crate::store::{CommitError, Precondition, Result, StoreError, Tenant, Version, VersionId, Write};
use serde_json::value::RawValue;

/// The number of tries of a transaction whose resources are changed by others.
const TRIES: u32 = 4;

/// The known state of a resource before the transaction.
enum Before {
    /// The version was not asked for.
    Unseen,
    Never,
    Gone(VersionId),
    Living(Version),
}

impl Before {
    fn newest(&self) -> Option<Newest> {
        match self {
            Self::Unseen | Self::Never => None,
            Self::Gone(version) => Some(Newest { version: *version, living: false }),
            Self::Living(found) => Some(Newest { version: found.version, living: true }),
        }
    }
}

#[derive(serde::Serialize)]
struct Bundle<'a> {
    #[serde(rename = "resourceType")]
    resource_type: &'static str,
    r#type: &'static str,
    entry: Vec<SentEntry<'a>>,
}

#[derive(serde::Serialize)]
struct SentEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    request: Request,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<&'static str>,
}

fn request(write: &Write, before: &Before, address: String, creation: Creation) -> Request {
    let method = if write.body.is_some() { "PUT" } else { "DELETE" };
    let known = match before {
        Before::Living(found) => Some(found.version),
        Before::Unseen | Before::Never | Before::Gone(_) => None,
    };
    let version = match write.precondition {
        Precondition::Version(version) => Some(version),
        Precondition::Exists => known,
        Precondition::None if write.body.is_none() => known,
        Precondition::Absent => match before {
            Before::Gone(at) if creation == Creation::IfMatch => Some(*at),
            _ => None,
        },
        Precondition::None => None,
    };
    let creates = write.precondition == Precondition::Absent;
    let if_match = match version {
        Some(version) => Some(version.etag()),
        None if creates && creation == Creation::IfMatch => Some(NO_VERSION.to_owned()),
        None => None,
    };
    let if_none_match = (creates && creation != Creation::IfMatch).then_some("*");
    Request { method, url: address, if_match, if_none_match }
}

impl FhirServer {
    pub(super) async fn transaction(&self, tenant: &Tenant, writes: &[Write]) -> Result<Vec<Version>, CommitError> {
        let mut drafts = Vec::with_capacity(writes.len());
        for (at, write) in writes.iter().enumerate() {
            if write.body.is_none() && write.precondition != Precondition::None && self.options.transaction_may_delete {
                let refused = StoreError::unsupported("a deletion with a condition in a commit of several writes");
                return Err(CommitError::at(at, refused));
            }
            let draft = write.body.as_deref().map(|body| self.draft(&write.key, body, write.write_id)).transpose();
            drafts.push(draft.map_err(|error| CommitError::at(at, error))?);
        }
        // Whether it may be for others that the server refuses: they move what is conditional, or what is written blindly.
        let mut others = writes.iter().any(|write| write.precondition == Precondition::None && write.body.is_some());
        let mut seen: Option<Vec<Option<VersionId>>> = None;
        let mut last = None;
        for tries in 0..TRIES {
            let before = self.before(tenant, writes, tries > 0).await?;
            let now: Vec<_> = before.iter().map(|before| before.newest().map(|newest| newest.version)).collect();
            others |= seen.replace(now.clone()).is_some_and(|seen| seen != now);
            let bundle = bundle(writes, &drafts, &before, &self.options)?;
            let answer = self.send(tenant, OutgoingRequest::bundle(bundle)).await?;
            match answer.status {
                _ if answer.is_success() => return self.all_made(tenant, writes, &drafts, before, &answer).await,
                404 | 405 | 501 => return Err(StoreError::unsupported("a transaction").into()),
                // A condition that failed may be any of them, and which one it was is seen by a look at all.
                400 | 409 | 410 | 412 | 422 => self.check_writes(tenant, writes).await?,
                _ => return Err(refusal(&answer, true, self.options.max_body).into()),
            }
            last = Some(answer);
        }
        let refused = last.filter(|answer| answer.status != 409 || !others);
        Err(refused.map_or_else(overtaken, |answer| invalid(&answer)).into())
    }

    /// Looks at what the conditions ask for, and refuses what they exclude. `again` says that a transaction was refused.
    async fn before(&self, tenant: &Tenant, writes: &[Write], again: bool) -> Result<Vec<Before>, CommitError> {
        let mut all = Vec::with_capacity(writes.len());
        for (at, write) in writes.iter().enumerate() {
            let needed = match write.precondition {
                Precondition::Absent => match self.options.creation {
                    Creation::Unproven => true,
                    Creation::IfNoneMatch => false,
                    Creation::IfMatch => again,
                },
                Precondition::Exists => true,
                Precondition::Version(version) if write.body.is_some() => {
                    self.options.update_may_create && !self.known.contains(tenant, &write.key, version)
                }
                Precondition::Version(_) | Precondition::None => write.body.is_none(),
            };
            all.push(match needed {
                false => Before::Unseen,
                true => match self.checked(tenant, at, write).await {
                    Ok(before) => before,
                    Err(refused) => {
                        // One before it may fail as well, and goes first.
                        self.check_writes(tenant, writes.get(..at).unwrap_or_default()).await?;
                        return Err(refused);
                    }
                },
            });
        }
        Ok(all)
    }

    /// Holds every write against what is there now.
    async fn check_writes(&self, tenant: &Tenant, writes: &[Write]) -> Result<(), CommitError> {
        for (at, write) in writes.iter().enumerate() {
            self.checked(tenant, at, write).await?;
        }
        Ok(())
    }

    async fn checked(&self, tenant: &Tenant, at: usize, write: &Write) -> Result<Before, CommitError> {
        let before = match self.read_now(tenant, &write.key).await {
            Ok(found) => Before::Living(found),
            Err(StoreError::Gone { at, .. }) => Before::Gone(at),
            Err(StoreError::NotFound { .. }) => Before::Never,
            Err(error) => return Err(CommitError::at(at, error)),
        };
        check(write, before.newest()).map_err(|error| CommitError::at(at, error))?;
        Ok(before)
    }

    async fn all_made(
        &self,
        tenant: &Tenant,
        writes: &[Write],
        drafts: &[Option<Draft<'_>>],
        before: Vec<Before>,
        answer: &ServerResponse,
    ) -> Result<Vec<Version>, CommitError> {
        let bundle = read(answer).map_err(since_applied)?;
        if bundle.entry.len() != writes.len() {
            let why = format!("{} answers came to {} entries", bundle.entry.len(), writes.len());
            return Err(unknown(ServerFault::Unreadable { why }).into());
        }
        let mut made = Vec::with_capacity(writes.len());
        for (at, (((write, draft), before), entry)) in
            writes.iter().zip(drafts).zip(before).zip(&bundle.entry).enumerate()
        {
            let first = match &before {
                Before::Gone(at) => at.next(),
                _ => VersionId::FIRST,
            };
            let version = match draft {
                Some(draft) => self.entry_made(tenant, draft, entry).await,
                None => self.entry_deleted(tenant, before, entry).await,
            };
            let version = version.map_err(|error| CommitError::at(at, error))?;
            self.right(write, first, entry, &version).map_err(|error| CommitError::at(at, error))?;
            made.push(version);
        }
        Ok(made)
    }

    async fn entry_made(&self, tenant: &Tenant, draft: &Draft<'_>, entry: &Entry) -> Result<Version> {
        let told = entry.version();
        let shown = entry.resource.as_ref().filter(|_| !entry.is_outcome());
        let shown = match shown {
            Some(json) => {
                self.content_of(draft.key, json.get().as_bytes(), told, entry.modified()).map_err(since_applied)?
            }
            None => {
                let number = told.ok_or_else(|| unknown(ServerFault::VersionMissing))?;
                let wrong = |_| unknown(ServerFault::VersionNotANumber { found: number.to_owned() });
                self.vread_marked(tenant, draft.key, number.parse().map_err(wrong)?).await.map_err(since_applied)?
            }
        };
        let made = draft.made(shown)?;
        self.known.add(tenant, &made);
        Ok(made)
    }

    async fn entry_deleted(&self, tenant: &Tenant, before: Before, entry: &Entry) -> Result<Version> {
        let Before::Living(living) = before else { return Err(unknown(ServerFault::VersionMissing)) };
        let told = entry.version().and_then(|told| told.parse().ok()).filter(|told| *told > living.version);
        let number = match told {
            Some(told) => Some(told),
            None => self.number_of_deletion(tenant, &living).await?,
        };
        let next = Some(living.version.next()).filter(|_| !self.options.gaps);
        let number = number.or(next).ok_or_else(|| unknown(ServerFault::VersionMissing))?;
        Ok(deletion(living, number))
    }

    /// Returns whether the version that was made is one that the condition allows.
    fn right(&self, write: &Write, first: VersionId, entry: &Entry, made: &Version) -> Result<()> {
        let wrong = match write.precondition {
            Precondition::Version(version) => made.version != version.next(),
            Precondition::Absent => entry.status() == 200 && made.version != first,
            Precondition::Exists | Precondition::None => false,
        };
        if wrong && !self.options.gaps {
            return Err(ServerFault::ConditionIgnored { made: made.version.get() }.into());
        }
        Ok(())
    }
}

fn bundle(writes: &[Write], drafts: &[Option<Draft<'_>>], before: &[Before], options: &Options) -> Result<String> {
    let wrong = |error: serde_json::Error| StoreError::invalid(format!("the bundle: {error}"));
    let mut entry = Vec::with_capacity(writes.len());
    for ((write, draft), before) in writes.iter().zip(drafts).zip(before) {
        let resource = draft.as_ref().map(|draft| serde_json::from_str::<&RawValue>(&draft.body)).transpose();
        let request = request(write, before, options.dialect.address(&write.key), options.creation);
        entry.push(SentEntry { resource: resource.map_err(wrong)?, request });
    }
    serde_json::to_string(&Bundle { resource_type: "Bundle", r#type: "transaction", entry }).map_err(wrong)
}
