//! A deployment as a Task of FHIR STU3.

use super::{RolloutError, RolloutService};
use crate::primitive::{CanonicalBase, CanonicalName};
use crate::store::{BlobStore, Ledger, ResourceStore, Tenant};
use crate::update::deployment::{Deployment, Evidence, Outcome, OutcomeClass, StateName};
use crate::update::release::Release;
use crate::update::rollout::DeploymentId;
use serde_json::{Value, json};

/// Returns the Task status of a deployment.
const fn status(deployment: &Deployment) -> &'static str {
    let outcome = match deployment.state.outcome() {
        Some(outcome) => outcome.class(),
        None => {
            return match deployment.state.name() {
                StateName::Planned => "requested",
                StateName::Held => "on-hold",
                StateName::Offering | StateName::Offered => "received",
                StateName::Claimed | StateName::Retracting | StateName::Done => "in-progress",
            };
        }
    };
    match outcome {
        OutcomeClass::Succeeded | OutcomeClass::AlreadyCurrent => "completed",
        OutcomeClass::Rejected => "rejected",
        OutcomeClass::Failed | OutcomeClass::RolledBack | OutcomeClass::TimedOut | OutcomeClass::Unproven => "failed",
        OutcomeClass::Withdrawn | OutcomeClass::Cancelled | OutcomeClass::Superseded | OutcomeClass::Retired => {
            "cancelled"
        }
    }
}

fn task(deployment: &Deployment, release: &Release, base: &CanonicalBase) -> Value {
    let mut task = json!({
        "resourceType": "Task",
        "id": deployment.id,
        "groupIdentifier": { "system": base.text(CanonicalName::Rollout), "value": deployment.rollout },
        "status": status(deployment),
        "businessStatus": { "text": deployment.state.name() },
        "intent": "order",
        "focus": { "reference": format!("DeviceComponent/{}", deployment.component) },
        "for": { "reference": format!("Device/{}", deployment.device) },
        "input": [
            { "type": { "text": "update" }, "valueString": release.request.name },
            { "type": { "text": "version" }, "valueString": release.request.version },
        ],
    });
    let outcome = deployment.state.outcome();
    let reason = match outcome {
        Some(Outcome::Failed { code } | Outcome::Rejected { code }) => Some(code.to_string()),
        Some(outcome) => Some(outcome.class().to_string()),
        None => None,
    };
    let proof = match outcome {
        Some(Outcome::Succeeded { proof: Evidence::VersionReport { report } } | Outcome::RolledBack { report }) => {
            Some(("version report", report.to_string()))
        }
        Some(Outcome::Succeeded { proof: Evidence::DeviceSays }) => Some(("word of the device", "done".to_owned())),
        _ => None,
    };
    if let Some(task) = task.as_object_mut() {
        if let Some(reason) = reason {
            task.insert("statusReason".to_owned(), json!({ "text": reason }));
        }
        if let Some((kind, value)) = proof {
            task.insert("output".to_owned(), json!([{ "type": { "text": kind }, "valueString": value }]));
        }
    }
    task
}

impl<R, B, L> RolloutService<R, B, L>
where
    R: ResourceStore + ?Sized,
    B: BlobStore + ?Sized,
    L: Ledger + ?Sized,
{
    /// Returns a deployment as a Task of FHIR STU3, in JSON: its focus is the component, and its group the rollout. It
    /// is made from the record each time, and not stored.
    ///
    /// # Errors
    /// [`RolloutError::NoSuchDeployment`]; [`RolloutError::Store`].
    pub async fn task(&self, tenant: &Tenant, id: DeploymentId) -> Result<String, RolloutError> {
        let deployment = self.deployment(tenant, id).await?;
        let plan = self.plan(tenant, deployment.rollout).await?;
        Ok(task(&deployment, &plan.release, &self.updates.canonical).to_string())
    }
}
