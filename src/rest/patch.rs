//! Patch, by id and by a condition.

use super::format::patched_version;
use super::header::{IfMatch, if_match};
use super::json_patch::Patch;
use super::problem::{Problem, Result};
use super::write::{TRIES, UPDATE_TRIES, has_id_of, overtaken, takes_no_condition, unmatched};
use super::{JSON_PATCH, Request, Response, Server};
use crate::convert::{self, json::Json};
use crate::issue::IssueType;
use crate::search::ResourceType;
use crate::store::{Key, Precondition, ResourceStore, StoreError, Version};

/// Whether the body of a request is a JSON Patch by its `Content-Type`.
pub(super) fn body_is_json_patch(request: &Request<'_>) -> Result<()> {
    let kind = request.all("content-type");
    if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON_PATCH) {
        return Ok(());
    }
    let found =
        if kind.is_empty() { "the body has no `Content-Type`".to_owned() } else { format!("the body is `{kind}`") };
    let problem = Problem::unsupported(415, "content-type", format_args!("{found}, and {JSON_PATCH} is wanted"));
    Err(problem.with_header("accept-patch", JSON_PATCH))
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// `PATCH TYPE/ID`, of the version that `If-Match` names, or of the newest. The operations are carried out on the
    /// resource as a read shows it, and what comes of them is written as an update is.
    pub(super) async fn patch(&self, request: &Request<'_>, key: &Key) -> Result<Response> {
        body_is_json_patch(request)?;
        takes_no_condition(request)?;
        let version = patched_version(request, self.format)?;
        let patch = Patch::read(&request.body, &self.limits)?;
        let when = if_match(request)?;
        for _ in 0..UPDATE_TRIES {
            let stored = self.store.read(key).await.map_err(|error| Problem::of_store(&error, key))?;
            if let Some(written) = self.write_patched(&patch, &stored, when.as_ref(), version).await? {
                return self.written(request, 200, &written).await;
            }
        }
        Err(overtaken())
    }

    /// `PATCH TYPE?condition`, of the one resource that meets it.
    pub(super) async fn patch_where(&self, request: &Request<'_>, kind: ResourceType) -> Result<Response> {
        body_is_json_patch(request)?;
        let version = patched_version(request, self.format)?;
        let query = self.condition(kind, &request.query, "conditional")?;
        let patch = Patch::read(&request.body, &self.limits)?;
        let when = if_match(request)?;
        for _ in 0..TRIES {
            let Some(found) = self.only(&query, "conditional").await? else {
                return Err(Problem::not_found(format_args!("no {kind} meets the condition")));
            };
            if let Some(written) = self.write_patched(&patch, &found, when.as_ref(), version).await? {
                return self.written(request, 200, &written).await;
            }
        }
        Err(overtaken())
    }

    /// Writes what a patch makes of a version; nothing where that is not the newest by now, and any is meant.
    ///
    /// What the patch makes depends on the version, and so does the verdict over it: each try makes a document of its own, which
    /// is validated once.
    async fn write_patched(
        &self,
        patch: &Patch<'_>,
        stored: &Version,
        when: Option<&IfMatch>,
        version: convert::Version,
    ) -> Result<Option<Version>> {
        let key = &stored.key;
        let is_named = when.is_some_and(IfMatch::names_a_version);
        if is_named && when.map(|when| when.over(Some(stored.version))) != Some(Precondition::Version(stored.version)) {
            return Err(unmatched(StoreError::conflict(Some(stored.version)), key));
        }
        let resource = {
            let shown = self.shown(stored).await?;
            let shown = self.translated_to(version, shown).map_err(|report| self.not_shown(report))?.to_bytes();
            let text = std::str::from_utf8(&shown)
                .map_err(|_| Problem::of_store(&StoreError::invalid("the body is not UTF-8"), key))?;
            let kind = key.resource_type();
            let tree = Json::read_within(text, kind.as_str(), self.limits.read_memory());
            let tree = tree.map_err(|report| Problem::document_within(report, &self.limits))?;
            let made = patch.apply(tree, text.len(), kind.as_str())?.to_text(text.len());
            if made.len() > self.limits.patched_bytes() {
                let (found, most) = (made.len(), self.limits.patched_bytes());
                let words = format!("the patch makes a resource of {found} bytes, wanted at most {most}");
                return Err(Problem::new(413, IssueType::TooLong, "too-large", words));
            }
            self.document(version, made.as_bytes())?
        };
        let (_, resource) = self.of_type_in(version, key.resource_type(), resource)?;
        has_id_of(&resource, key)?;
        let write = self.client_write(resource, Some(stored), Precondition::Version(stored.version)).await?;
        match self.store.write_resolved(write).await {
            Ok(version) => Ok(Some(version)),
            Err(StoreError::Conflict { .. }) if !is_named => Ok(None),
            Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) if when.is_none() => Ok(None),
            Err(error) => Err(unmatched(error, key)),
        }
    }
}
