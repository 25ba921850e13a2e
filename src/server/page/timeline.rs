//! The life of an upload, from the audit chain.

use super::super::UpdateServer;
use super::super::updates::records::Subject;
use super::text::{short, time};
use crate::audit::{Action, AuditDraft, AuditRecord};
use crate::store::{StoreError, Tenant};
use crate::update::ingest::Ingest;
use maud::{Markup, html};

/// Number of records read after the opening of the upload.
const READ_AFTER: u64 = 1_500;

/// Number of records read at the end of the chain, beside these.
const READ_LAST: u64 = 500;

/// Maximum number of steps shown.
const SHOWN: usize = 60;

/// The known steps of an upload.
pub(super) struct Life {
    steps: Vec<AuditDraft>,
    /// Whether records in between were not read.
    gap: bool,
}

impl Life {
    /// Reads the records of an upload: those after its opening, which a binary search by time finds, and the last ones
    /// of the chain.
    pub(super) async fn read(app: &UpdateServer, tenant: &Tenant, ingest: &Ingest) -> Result<Self, StoreError> {
        let count = app.updates.audit_checkpoint(tenant).await?.count;
        let opened = ingest.opened.as_ref().and_then(crate::primitive::Instant::to_offset_date_time);
        let (mut low, mut high) = (0, count);
        // Find the first record that is not before the opening.
        while low < high {
            let middle = low.midpoint(high);
            let at = match record(app, tenant, middle).await? {
                Some(record) => record.draft.at,
                // This version cannot read the record: start at the position found so far.
                None => break,
            };
            if opened.is_some_and(|opened| at < opened) { low = middle.saturating_add(1) } else { high = middle }
        }
        let first_end = low.saturating_add(READ_AFTER).min(count);
        let second = count.saturating_sub(READ_LAST).max(first_end);
        let mut subject = Subject::new(ingest.id);
        let mut steps = Vec::new();
        for index in (low..first_end).chain(second..count) {
            let Some(line) = app.updates.audit_line(tenant, index).await? else { continue };
            if subject.is_in(&line)
                && let Ok(record) = AuditRecord::from_line(&line)
                && steps.len() < SHOWN
            {
                steps.push(record.draft);
            }
        }
        Ok(Self { steps, gap: second > first_end })
    }

    /// Returns the steps, first to last.
    pub(super) fn html(&self, all: &str) -> Markup {
        html! {
            ol.timeline {
                @for step in &self.steps {
                    li {
                        div.when { (time(step.at)) }
                        div.what {
                            b { (words(step.action)) }
                            @if let Some(actor) = &step.actor { " by " (short(actor.as_str())) }
                            @if let Some(reason) = step.reason { ": " (reason.explanation()) }
                            @if let Some(comment) = &step.comment { p.told { "\u{201c}" (short(comment.as_str())) "\u{201d}" } }
                            @if let Some(version) = step.component_version { p.told { "Version " (version) " of its component" } }
                        }
                    }
                }
            }
            @if self.gap { p.note { "The audit chain is long, and not all of it was read for this page." } }
            p { a href=(all) { "All audit records of this update" } }
        }
    }
}

async fn record(app: &UpdateServer, tenant: &Tenant, index: u64) -> Result<Option<AuditRecord>, StoreError> {
    let line = app.updates.audit_line(tenant, index).await?;
    Ok(line.and_then(|line| AuditRecord::from_line(&line).ok()))
}

/// Returns the description of an action.
fn words(action: Action) -> &'static str {
    match action {
        Action::Opened => "The upload began",
        Action::Extended => "Bytes arrived",
        Action::Acquired => "All bytes arrived",
        Action::Stored => "The file is stored",
        Action::Targeted => "The component was found",
        Action::Retried => "Others wrote to the component; tried again",
        Action::Attached => "The component shows the update",
        Action::Superseded => "A later update took its place",
        Action::Withdrawn => "Withdrawn",
        Action::Restored => "Asked to be made current again",
        Action::MadeCurrent => "The component shows it as current again",
        Action::NotRestored => "Could not be made current again",
        Action::Marked => "The component shows it as withdrawn",
        Action::Retired => "Retired",
        Action::Failed => "Failed",
        Action::Detached => "The component no longer shows it",
        Action::Closed => "Ended",
        Action::Held => "The bytes are held",
        Action::Committed => "The bytes can be read",
        Action::Released => "The bytes are released",
        Action::Condemned => "The bytes are to be deleted",
        Action::Gone => "The bytes are deleted",
        Action::Damaged => "The file was found damaged",
        Action::Repaired => "The file was repaired",
        Action::DamageCleared => "The file is whole",
        Action::Reattached => "Written to the component again",
        Action::Lost => "Another writer removed it from the component",
        Action::Forgotten => "The record was removed after its time",
        other => other.as_str(),
    }
}
