//! The canonical base of the extension, and reading it under every other base.

use super::*;
use fhir_devices::primitive::CanonicalBase;

const FORMER: &str = "https://fhir-devices.example/StructureDefinition/available-update";

#[test]
fn update_is_written_under_the_callers_base() {
    let (memory, service) = fleet();
    let base = CanonicalBase::new("https://fhir.hospital.example/r3/").unwrap();
    receive(&service.with_canonical_base(base), to_ecg(), firmware()).unwrap();
    let url = read(&memory, "ecg").0.extension[0].url.clone();
    assert_eq!(url, "https://fhir.hospital.example/r3/StructureDefinition/fhir-devices-available-update");
}

#[test]
fn update_under_another_base_is_superseded_and_withdrawn() {
    for former in [FORMER, "https://fhir.former.example/StructureDefinition/fhir-devices-available-update"] {
        let (memory, service) = fleet();
        let first = receive(&service, to_ecg(), firmware()).unwrap();
        let (mut component, version) = read(&memory, "ecg");
        component.extension[0].url = former.parse().unwrap();
        put(&*memory, &ours(), &component, Precondition::Version(version.version));

        let second = receive(&service, to_ecg(), stream::once("software")).unwrap();
        let (component, _) = read(&memory, "ecg");
        assert_eq!(component.extension[0].url, former);
        let found: Vec<_> = updates(&component).iter().map(|update| (update.id, update.status)).collect();
        assert_eq!(found, [(first.update.id, UpdateStatus::Superseded), (second.update.id, UpdateStatus::Current)]);
    }
}

#[test]
fn vendor_extension_with_the_same_name_is_kept() {
    let (memory, service) = fleet();
    let (mut component, version) = read(&memory, "ecg");
    let vendor = "https://vendor.example/StructureDefinition/available-update";
    component.extension.push(fhir_devices::datatype::Extension::complex(vendor.parse().unwrap(), Vec::new()));
    put(&*memory, &ours(), &component, Precondition::Version(version.version));
    receive(&service, to_ecg(), firmware()).unwrap();
    let (component, _) = read(&memory, "ecg");
    assert_eq!((component.extension[0].url.as_str(), updates(&component).len()), (vendor, 1));
}
