//! `GET /TENANT/audit` and `GET /TENANT/updates/ID/audit`: the audit chain, and its records of one upload, one per
//! line.

use super::super::answer::{Answer, Problem, Result, set};
use super::super::place::{AtTenant, AtUpload};
use super::super::{Shared, maintenance};
use super::state::problem;
use crate::audit::{AuditRecord, Holder};
use crate::service::IngestId;
use crate::store::{BlobKey, Page, PageToken, StoreError, Tenant};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use futures_core::Stream;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Number of records read at a time.
const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Returns the whole chain of a tenant.
pub(crate) async fn chain(State(app): State<Shared>, AtTenant(tenant): AtTenant) -> Result {
    lines(app, tenant, None).await
}

/// Returns the records of one upload, including those of its bytes. The whole chain is read for them.
pub(crate) async fn of_upload(State(app): State<Shared>, AtUpload(tenant, id): AtUpload) -> Result {
    app.updates.upload(&tenant, id).await.map_err(|error| problem(&error, id))?;
    maintenance::remember_tenant(&app, &tenant).await;
    lines(app, tenant, Some(id)).await
}

/// Sends the lines as the client takes them, so that a long chain is never held in memory.
async fn lines(app: Shared, tenant: Tenant, of: Option<IngestId>) -> Result {
    // A store that cannot be read at all is reported by the status; one that fails later, by an answer that breaks off.
    let first = page(&app, &tenant, None).await.map_err(|error| Problem::of_store(&error, "the audit chain"))?;
    let (sender, receiver) = mpsc::channel(1);
    let mut subject = of.map(Subject::new);
    tokio::spawn(async move {
        let mut next = Ok(first);
        loop {
            let Page { items, next: after } = match next {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%tenant, %error, "the audit chain broke off");
                    drop(sender.send(Err(error)).await);
                    return;
                }
            };
            let mut text = String::new();
            for line in items.iter().filter(|line| subject.as_mut().is_none_or(|subject| subject.is_in(line))) {
                text.push_str(line);
                text.push('\n');
            }
            // The client has disconnected.
            if (!text.is_empty() && sender.send(Ok(text.into())).await.is_err()) || sender.is_closed() {
                return;
            }
            let Some(after) = after else { return };
            next = page(&app, &tenant, Some(&after)).await;
        }
    });
    let mut answer = Answer::new(Body::from_stream(Lines(receiver)));
    set(&mut answer, header::CONTENT_TYPE, "application/x-ndjson");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    Ok(answer)
}

async fn page(
    app: &Arc<super::super::UpdateServer>,
    tenant: &Tenant,
    after: Option<&PageToken>,
) -> std::result::Result<Page<String>, StoreError> {
    app.updates.audit_lines(tenant, PAGE, after).await
}

/// One upload, to be found in a chain that is read from its beginning.
pub(crate) struct Subject {
    id: IngestId,
    named: String,
    /// The bytes of the upload, and their digest as lines contain it.
    bytes: Option<(BlobKey, String)>,
}

impl Subject {
    pub(crate) fn new(id: IngestId) -> Self {
        Self { id, named: id.to_string(), bytes: None }
    }

    /// Returns whether a record is about the upload, its hold on bytes, or those bytes themselves, whichever upload
    /// held them.
    pub(crate) fn is_in(&mut self, line: &str) -> bool {
        // Most lines of a long chain need not be parsed for that.
        let of_bytes = self.bytes.as_ref().is_some_and(|(_, digest)| line.contains(digest));
        if !of_bytes && !line.contains(&self.named) {
            return false;
        }
        let Ok(AuditRecord { draft, .. }) = AuditRecord::from_line(line) else { return false };
        let key = draft.blob.zip(draft.generation).map(|(blob, generation)| blob.key(generation));
        if draft.ingest == Some(self.id) {
            if let Some(key) = key {
                self.bytes = Some((key, key.digest.to_string()));
            }
            return true;
        }
        match draft.holder {
            Some(holder) => holder == Holder::Ingest(self.id),
            None => draft.ingest.is_none() && key.is_some() && key == self.bytes.as_ref().map(|(key, _)| *key),
        }
    }
}

/// A stream of pages of lines.
struct Lines(mpsc::Receiver<std::result::Result<Bytes, StoreError>>);

impl Stream for Lines {
    type Item = std::result::Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
