//! Checking `meta.profile` against the definitions that come with the specification.

use super::text::is_domain;
use crate::code::{has_code, is_resource_type};
use crate::datatype::Meta;
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::Uri;

/// The profiles of FHIR STU3 itself, by the type that they constrain.
const PROFILES: [(&str, &[&str]); 13] = [
    ("AuditEvent", &["ehrsrle-auditevent"]),
    ("CodeSystem", &["shareablecodesystem"]),
    ("Composition", &["clinicaldocument"]),
    ("Contract", &["consentdirective"]),
    ("DiagnosticReport", &["lipidprofile", "diagnosticreport-genetics", "hlaresult"]),
    ("ElementDefinition", &["elementdefinition-de"]),
    ("FamilyMemberHistory", &["familymemberhistory-genetic"]),
    (
        "Observation",
        &[
            "bmi",
            "bodyheight",
            "bodylength",
            "bodytemp",
            "bodyweight",
            "bp",
            "cholesterol",
            "devicemetricobservation",
            "hdlcholesterol",
            "headcircum",
            "heartrate",
            "ldlcholesterol",
            "observation-genetics",
            "oxygensat",
            "resprate",
            "triglyceride",
            "vitalsigns",
            "vitalspanel",
        ],
    ),
    ("ProcedureRequest", &["procedurerequest-genetics"]),
    ("Provenance", &["ehrsrle-provenance"]),
    ("Quantity", &["SimpleQuantity"]),
    ("Questionnaire", &["cqif-questionnaire"]),
    ("ValueSet", &["shareablevalueset"]),
];

/// Returns the type that one of these profiles constrains.
fn profiled_type(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(_, profiles)| profiles.contains(&name)).map(|(of, _)| *of)
}

/// Checks that no profile is the base definition of another type, or one of HL7's own profiles of another type.
pub(super) fn profiles(meta: &Meta, resource_type: &str, at: &Path<'_>, report: &mut Report) {
    const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";
    for (index, profile) in meta.profile.iter().enumerate() {
        let Some(url) = profile.value.as_ref().map(Uri::as_str) else { continue };
        let Some(name) = url.strip_prefix(BASE) else { continue };
        let name = name.split_once('|').map_or(name, |(name, _)| name);
        let general = name == "Resource" || name == "DomainResource" && is_domain(resource_type);
        let is_base = is_resource_type(name)
            || matches!(name, "DomainResource" | "Element" | "BackboneElement")
            || has_code("http://hl7.org/fhir/data-types", name) == Some(true);
        let of = if is_base { Some(name) } else { profiled_type(name) };
        if let Some(of) = of
            && of != resource_type
            && !general
        {
            let what = if is_base { "the definition" } else { "a profile" };
            let message = format!("`{url}` is {what} of {of}, and the resource is a {resource_type}");
            let at = at.item("profile", index);
            report.push(
                Issue::new("profile-type", Severity::Error, IssueType::Value, at, message).with_row("Meta.profile"),
            );
        }
    }
}
