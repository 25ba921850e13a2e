//! Detecting a document of another FHIR version or resource type from its issues.

use super::{Device, DeviceComponent, DeviceMetric};
use crate::element::{Definition, Element};
use crate::issue::{Issue, IssueType, Path, Report, Severity};

/// Members and shapes that one version of FHIR has and STU3 has not: the type and the member, the rule that was broken
/// there, and the version. They are those of the three device resources and of the datatypes that they share.
const MARKS: &[(&str, &str, &str)] = &[
    ("Device.udiCarrier", "unknown-member", "R4"),
    ("Device.deviceName", "unknown-member", "R4"),
    ("Device.modelNumber", "unknown-member", "R4"),
    ("Device.serialNumber", "unknown-member", "R4"),
    ("Device.partNumber", "unknown-member", "R4"),
    ("Device.distinctIdentifier", "unknown-member", "R4"),
    ("Device.definition", "unknown-member", "R4"),
    ("Device.statusReason", "unknown-member", "R4"),
    ("Device.specialization", "unknown-member", "R4"),
    ("Device.property", "unknown-member", "R4"),
    ("Device.parent", "unknown-member", "R4"),
    ("Device.version", "max-cardinality", "R4"),
    ("Device.type", "max-cardinality", "R5"),
    ("Device.name", "unknown-member", "R5"),
    ("Device.displayName", "unknown-member", "R5"),
    ("Device.conformsTo", "unknown-member", "R5"),
    ("Device.availabilityStatus", "unknown-member", "R5"),
    ("Device.biologicalSourceEvent", "unknown-member", "R5"),
    ("Device.mode", "unknown-member", "R5"),
    ("Device.udi", "wrong-type", "DSTU2"),
    ("Device.expiry", "unknown-member", "DSTU2"),
    ("DeviceMetric.identifier", "max-cardinality", "R4"),
    ("DeviceMetric.parent", "reference-target", "R4"),
    ("DeviceMetric.device", "unknown-member", "R5"),
    ("DeviceMetric.measurementFrequency", "unknown-member", "R5"),
    ("DeviceComponent.productionSpecification.property", "unknown-member", "R4"),
    ("Bundle.timestamp", "unknown-member", "R4"),
    ("Bundle.issues", "unknown-member", "R5"),
    ("Meta.source", "unknown-member", "R4"),
    ("Reference.type", "unknown-member", "R4"),
    ("Extension.valueCanonical", "unknown-member", "R4"),
    ("Extension.valueUrl", "unknown-member", "R4"),
    ("Extension.valueUuid", "unknown-member", "R4"),
];

/// The resource types for devices that another version has and STU3 has not.
const TYPES: &[(&str, &str)] = &[
    ("DeviceDefinition", "R4"),
    ("DeviceUsage", "R5"),
    ("DeviceDispense", "R5"),
    ("DeviceAssociation", "R5"),
    ("ServiceRequest", "R4"),
    ("MedicationKnowledge", "R4"),
    ("MolecularSequence", "R4"),
    ("OrganizationAffiliation", "R4"),
    ("SubscriptionTopic", "R5"),
    ("DeviceUseRequest", "DSTU2"),
    ("DiagnosticOrder", "DSTU2"),
    ("MedicationOrder", "DSTU2"),
];

/// Puts first that the document is of another FHIR version or type.
pub(super) fn add(report: &mut Report, root: &str) {
    if !report.has_errors() && report.is_empty() {
        return;
    }
    if let Some(issue) = other_type(report, root) {
        report.push_front(issue);
    }
    if let Some(issue) = other_version(report, root) {
        report.push_front(issue);
    }
}

fn other_version(report: &Report, root: &str) -> Option<Issue> {
    let (version, issue) = report.iter().find_map(|issue| Some((version_of(issue)?, issue)))?;
    let way = match version {
        _ if issue.rule == "resource-type" => "",
        "R4" => ": `convert` reads it, and a service where it is sent with `fhirVersion=4.0`",
        "R5" => ": `convert` reads it, and a service where it is sent with `fhirVersion=5.0`",
        _ => "",
    };
    let message = format!("the document looks written for FHIR {version}, wanted FHIR STU3 (see `{}`){way}", issue.at);
    Some(Issue::new("fhir-version", Severity::Information, IssueType::NotSupported, Path::root(root), message))
}

fn version_of(issue: &Issue) -> Option<&'static str> {
    if issue.rule == "required-binding" && issue.at == "Device.status" {
        return issue.message.contains("vailable`").then_some("DSTU2");
    }
    let name = issue.at.rsplit('.').next().unwrap_or_default();
    if name == "fhir_comments" {
        return Some("DSTU2");
    }
    if issue.rule == "required-binding" && issue.row == "Bundle.entry.request.method" {
        return ["`PATCH`", "`HEAD`"].iter().any(|verb| issue.message.starts_with(verb)).then_some("R4");
    }
    if issue.rule == "resource-type" {
        let named = issue.message.split('`').nth(1);
        return TYPES.iter().find(|(name, _)| named == Some(name)).map(|(_, version)| *version);
    }
    // A member that the type has not has no row; the row of the type stands for it. That of a reference is its own.
    let is_of = |place: &str| match place.rsplit_once('.') {
        _ if issue.at == place => true,
        Some((owner, member)) => issue.row == place || issue.row == owner && name == member,
        None => false,
    };
    MARKS.iter().find(|(place, rule, _)| *rule == issue.rule && is_of(place)).map(|(.., version)| *version)
}

/// Several members that the type lacks and another one of the three has.
fn other_type(report: &Report, root: &str) -> Option<Issue> {
    let definitions: [&Definition; 3] =
        [Device::definition(), DeviceComponent::definition(), DeviceMetric::definition()];
    let foreign: Vec<&str> = report
        .iter()
        .filter(|issue| issue.rule == "unknown-member")
        .filter_map(|issue| issue.at.strip_prefix(root)?.strip_prefix('.'))
        .filter(|name| !name.contains('.'))
        .collect();
    let has = |definition: &Definition, name: &str| definition.rows.iter().any(|row| row.name == name);
    let other = definitions
        .into_iter()
        .filter(|definition| definition.path != root)
        .find(|definition| foreign.len() > 1 && foreign.iter().all(|name| has(definition, name)))?;
    let severity = report.iter().map(|issue| issue.severity).min()?;
    let message = format!(
        "the resource says that it is a {root}, and has members of a {} (`{}`)",
        other.path,
        foreign.join("`, `")
    );
    let at = Path::root(root);
    Some(Issue::new("resource-type", severity, IssueType::Structure, at.child("resourceType"), message))
}
