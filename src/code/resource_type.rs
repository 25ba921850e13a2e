//! Names of the resource types.

/// Resource types of FHIR 3.0.2, sorted, without the abstract `Resource` and `DomainResource`.
///
/// ```
/// assert!(fhir_devices::code::RESOURCE_TYPES.contains(&"DeviceComponent"));
/// ```
pub const RESOURCE_TYPES: &[&str] = &[
    "Account",
    "ActivityDefinition",
    "AdverseEvent",
    "AllergyIntolerance",
    "Appointment",
    "AppointmentResponse",
    "AuditEvent",
    "Basic",
    "Binary",
    "BodySite",
    "Bundle",
    "CapabilityStatement",
    "CarePlan",
    "CareTeam",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "ClinicalImpression",
    "CodeSystem",
    "Communication",
    "CommunicationRequest",
    "CompartmentDefinition",
    "Composition",
    "ConceptMap",
    "Condition",
    "Consent",
    "Contract",
    "Coverage",
    "DataElement",
    "DetectedIssue",
    "Device",
    "DeviceComponent",
    "DeviceMetric",
    "DeviceRequest",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "EligibilityRequest",
    "EligibilityResponse",
    "Encounter",
    "Endpoint",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "EpisodeOfCare",
    "ExpansionProfile",
    "ExplanationOfBenefit",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "GraphDefinition",
    "Group",
    "GuidanceResponse",
    "HealthcareService",
    "ImagingManifest",
    "ImagingStudy",
    "Immunization",
    "ImmunizationRecommendation",
    "ImplementationGuide",
    "Library",
    "Linkage",
    "List",
    "Location",
    "Measure",
    "MeasureReport",
    "Media",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "MessageDefinition",
    "MessageHeader",
    "NamingSystem",
    "NutritionOrder",
    "Observation",
    "OperationDefinition",
    "OperationOutcome",
    "Organization",
    "Parameters",
    "Patient",
    "PaymentNotice",
    "PaymentReconciliation",
    "Person",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "ProcedureRequest",
    "ProcessRequest",
    "ProcessResponse",
    "Provenance",
    "Questionnaire",
    "QuestionnaireResponse",
    "ReferralRequest",
    "RelatedPerson",
    "RequestGroup",
    "ResearchStudy",
    "ResearchSubject",
    "RiskAssessment",
    "Schedule",
    "SearchParameter",
    "Sequence",
    "ServiceDefinition",
    "Slot",
    "Specimen",
    "StructureDefinition",
    "StructureMap",
    "Subscription",
    "Substance",
    "SupplyDelivery",
    "SupplyRequest",
    "Task",
    "TestReport",
    "TestScript",
    "ValueSet",
    "VisionPrescription",
];

/// Returns whether STU3 has a resource type of this name, compared exactly.
///
/// ```
/// use fhir_devices::code::is_resource_type;
///
/// assert!(is_resource_type("DeviceMetric"));
/// assert!(!is_resource_type("DeviceDefinition")); // came with R4
/// ```
#[must_use]
pub fn is_resource_type(name: &str) -> bool {
    // Fast path: most references are to these types.
    matches!(name, "Device" | "DeviceComponent") || RESOURCE_TYPES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_type_names_are_sorted_and_found() {
        assert_eq!(RESOURCE_TYPES.len(), 117);
        assert!(RESOURCE_TYPES.is_sorted_by(|left, right| left < right));
        assert!(RESOURCE_TYPES.iter().all(|name| is_resource_type(name)));
    }

    #[test]
    fn other_names_are_not_resource_types() {
        for name in ["", "device", "Resource", "DomainResource", "DeviceDefinition", "Zzz", "Aaa"] {
            assert!(!is_resource_type(name), "{name:?}");
        }
    }
}
