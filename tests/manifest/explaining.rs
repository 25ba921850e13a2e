//! Explaining whether an update is admissible for a component.

use super::*;
use fhir_devices::containment::{IdentifierQuery, Tree, TreeBuilder};
use fhir_devices::manifest::{
    Acceptance, AdmissionReason, AdmissionReasonCode, Bounds, CompatibilityRule, DowngradeAuthorization, IngestId,
    ProductionSpec, RequiredValue, Requirement, RequirementScope, Situation, Target, VersionRange, VersionScheme,
    admits, explain,
};
use fhir_devices::nomenclature::Level;
use fhir_devices::{Device, DeviceComponent};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2017-04-19 10:00 UTC);

/// A production specification: its code, its value, and its item.
type Said<'s> = (&'s str, &'s str, Option<&'s str>);

fn component(id: &str, code: u32, parent: Option<&str>, specs: &[Said<'_>]) -> DeviceComponent {
    let specs: Vec<String> = specs
        .iter()
        .map(|(code, value, item)| {
            let item = item.map(|item| format!(r#""componentId":{{"value":"{item}"}},"#)).unwrap_or_default();
            let system = if code.starts_with("53") { r#""system":"urn:iso:std:iso:11073:10101","# } else { "" };
            format!(r#"{{{item}"specType":{{"coding":[{{{system}"code":"{code}"}}]}},"productionSpec":"{value}"}}"#)
        })
        .collect();
    let parent = parent.map(|parent| format!(r#","parent":{{"reference":"DeviceComponent/{parent}"}}"#));
    let specs =
        if specs.is_empty() { String::new() } else { format!(r#","productionSpecification":[{}]"#, specs.join(",")) };
    let json = format!(
        r#"{{"resourceType":"DeviceComponent","id":"{id}","identifier":{{"value":"{id}"}},"type":{{"coding":[
        {{"system":"urn:iso:std:iso:11073:10101","code":"{code}"}},{{"system":"urn:acme:class","code":"pump-9"}}]}},
        "source":{{"reference":"Device/pump"}}{}{specs}}}"#,
        parent.unwrap_or_default()
    );
    DeviceComponent::from_json(json.as_bytes()).unwrap()
}

/// A pump: an MDS, two VMDs below it, and a channel below the first.
struct Pump {
    device: Device,
    components: Vec<DeviceComponent>,
}

impl Pump {
    fn new() -> Self {
        let device = br#"{"resourceType":"Device","id":"pump","manufacturer":"ACME","model":"P9"}"#;
        Self {
            device: Device::from_json(device).unwrap(),
            components: vec![
                component(
                    "mds",
                    69_985,
                    None,
                    &[
                        ("software-revision", "2.3.0", None),
                        ("hardware-revision", "1.4", None),
                        ("531973", "700-12", None),
                    ],
                ),
                component(
                    "syringe",
                    69_986,
                    Some("mds"),
                    &[("531976", "3.0", Some("main")), ("531976", "9.0", Some("boot"))],
                ),
                component("door", 69_990, Some("mds"), &[("firmware-revision", "1.2", None)]),
                component("channel", 69_987, Some("syringe"), &[]),
            ],
        }
    }

    fn tree(&self) -> Tree<'_> {
        TreeBuilder::new().with_items([&self.device]).with_items(&self.components).build()
    }

    fn reasons(&self, id: &str, manifest: &UpdateManifest, situation: &Situation<'_>) -> Vec<AdmissionReason> {
        let tree = self.tree();
        let node = tree.get(id).unwrap();
        let reasons = explain(&tree, node, manifest, situation);
        let against = reasons.iter().filter(|reason| reason.is_against).count();
        assert_eq!(admits(&tree, node, manifest, situation), against == 0);
        reasons
    }

    /// Returns the reasons against an update of the MDS.
    fn against(&self, manifest: &UpdateManifest) -> Vec<String> {
        against(self.reasons("mds", manifest, &Situation::at(NOW)))
    }
}

fn against(reasons: Vec<AdmissionReason>) -> Vec<String> {
    reasons.into_iter().filter(|reason| reason.is_against).map(|reason| reason.to_string()).collect()
}

fn label(value: &str) -> IdentifierQuery {
    IdentifierQuery { system: None, value: value.to_owned() }
}

fn at_least(version: &str) -> VersionRange {
    let bounds = Bounds { at_least: Some(version.parse().unwrap()), ..Bounds::default() };
    VersionRange::between(VersionScheme::Dotted, bounds)
}

fn requiring(scope: RequirementScope, spec: ProductionSpec, version: &str) -> Requirement {
    Requirement { scope, of: None, spec, item: None, wanted: RequiredValue::Range(at_least(version)) }
}

#[test]
fn every_check_has_a_result() {
    let mut manifest = smallest();
    manifest.requires.push(requiring(RequirementScope::Itself, ProductionSpec::Hardware, "1.2"));
    manifest.expires_at = Some(datetime!(2018-01-01 0:00 UTC));
    let reasons = Pump::new().reasons("mds", &manifest, &Situation::at(NOW));
    let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "for, version at UpdateManifest.identity.version: `mds` has `2.3.0`, wanted no software later than `2.4.0` (semver)",
            "for, sequence at UpdateManifest.sequence: found the number 42, wanted any, as nothing was accepted before",
            "for, target at UpdateManifest.target: found `mds`, wanted `mds` as the component of level `mds`",
            "for, place at UpdateManifest.target: `mds` has a place that is certain, wanted a place in one device that is certain",
            "for, compatibility at UpdateManifest.compatibility[0]: `mds` has the model `P9`, wanted the model `P9`",
            "for, requirement at UpdateManifest.requires[0]: `mds` has `1.4`, wanted the hardware of the component itself at least `1.2` (dotted)",
            "for, expiry at UpdateManifest.expiresAt: found `2017-04-19T10:00:00Z`, wanted a time before `2018-01-01T00:00:00Z`",
        ]
    );
    for code in AdmissionReasonCode::ALL {
        assert!(reasons.iter().any(|reason| reason.code == *code), "{code}");
    }
}

#[test]
fn expired_manifest_is_refused() {
    let mut manifest = smallest();
    manifest.expires_at = Some(NOW);
    assert_eq!(
        Pump::new().against(&manifest),
        [
            "against, expiry at UpdateManifest.expiresAt: found `2017-04-19T10:00:00Z`, wanted a time before `2017-04-19T10:00:00Z`"
        ]
    );
    manifest.expires_at = Some(NOW + time::Duration::nanoseconds(1));
    assert_eq!(Pump::new().against(&manifest), Vec::<String>::new());
}

#[test]
fn lower_sequence_number_needs_permission() {
    let (pump, mut manifest) = (Pump::new(), smallest());
    let accepted = Acceptance { provider: Some("acme".parse().unwrap()), highest: 42, by: IngestId(7) };
    let situation = |ingest| {
        let mut situation = Situation::at(NOW);
        (situation.accepted, situation.ingest) = (Some(&accepted), ingest);
        situation
    };
    let wrong =
        "against, sequence at UpdateManifest.sequence: found the number 42, wanted one above 42 or an authorisation";
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(None))), [wrong]);
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(Some(IngestId(8))))), [wrong]);
    // The one that was accepted is accepted still.
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(Some(IngestId(7))))), Vec::<String>::new());
    manifest.downgrade = Some(leave(42, 42));
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(None))), Vec::<String>::new());
    manifest.downgrade.as_mut().unwrap().approved_by.clear();
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(None))), [wrong]);
    manifest.downgrade = None;
    manifest.sequence = 43;
    assert_eq!(against(pump.reasons("mds", &manifest, &situation(None))), Vec::<String>::new());
}

fn leave(from: u64, to: u64) -> DowngradeAuthorization {
    DowngradeAuthorization {
        from,
        to,
        reason: "it loses alarms".parse().unwrap(),
        approved_by: vec!["m.jones".parse().unwrap()],
        not_after: NOW,
    }
}

#[test]
fn version_below_the_installed_one_needs_permission() {
    let (pump, mut manifest) = (Pump::new(), smallest());
    manifest.identity.version = "2.3.0-rc.1".parse().unwrap();
    let wrong = "against, version at UpdateManifest.identity.version: `mds` has `2.3.0`, wanted no software later than `2.3.0-rc.1` (semver)";
    assert_eq!(pump.against(&manifest), [wrong]);
    manifest.downgrade = Some(leave(41, 42));
    assert_eq!(pump.against(&manifest), Vec::<String>::new());
    manifest.downgrade.as_mut().unwrap().not_after = NOW - time::Duration::nanoseconds(1);
    assert_eq!(pump.against(&manifest), [wrong]);
    // Where the texts cannot be compared, the sequence number decides.
    manifest.downgrade = None;
    manifest.identity.version = "A".parse().unwrap();
    manifest.identity.scheme = VersionScheme::Opaque;
    assert_eq!(pump.against(&manifest), Vec::<String>::new());
    // Of several software items, the one that is meant counts.
    manifest.identity.version = "4.0".parse().unwrap();
    manifest.identity.scheme = VersionScheme::Dotted;
    manifest.reported_as = ProductionSpec::Firmware;
    manifest.target = Target { code: Some(69_986), item: Some(label("main")), ..Target::default() };
    let codes = |manifest: &UpdateManifest| -> Vec<AdmissionReasonCode> {
        let reasons = pump.reasons("syringe", manifest, &Situation::at(NOW));
        reasons.into_iter().filter(|reason| reason.is_against).map(|reason| reason.code).collect()
    };
    assert_eq!(codes(&manifest), []);
    manifest.target.item = Some(label("boot"));
    assert_eq!(codes(&manifest), [AdmissionReasonCode::Version]);
}

#[test]
fn wrong_or_ambiguous_component_is_refused() {
    let (pump, mut manifest) = (Pump::new(), smallest());
    manifest.target = Target { level: Some(Level::Vmd), ..Target::default() };
    let said = against(pump.reasons("syringe", &manifest, &Situation::at(NOW)));
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("against, target at UpdateManifest.target: found 2 components match"), "{said:?}");
    assert_eq!(
        pump.against(&{
            manifest.target = Target { code: Some(69_986), ..Target::default() };
            manifest.clone()
        }),
        [
            "against, target at UpdateManifest.target: found `mds/syringe`, wanted `mds` as the component with the code `69986`"
        ]
    );
    assert_eq!(against(pump.reasons("syringe", &manifest, &Situation::at(NOW))), Vec::<String>::new());
    manifest.target = Target::default();
    assert_eq!(pump.against(&manifest).len(), 1);
}

#[test]
fn misplaced_component_is_refused_by_explain() {
    let (mut pump, mut manifest) = (Pump::new(), smallest());
    manifest.target = Target { code: Some(69_986), ..Target::default() };
    pump.components.remove(0);
    let reasons = pump.reasons("syringe", &manifest, &Situation::at(NOW));
    let place: Vec<&AdmissionReason> =
        reasons.iter().filter(|reason| reason.code == AdmissionReasonCode::Place).collect();
    assert!(place[0].is_against, "{place:?}");
}

#[test]
fn one_whole_compatibility_rule_must_match() {
    let (pump, mut manifest) = (Pump::new(), smallest());
    let rule = CompatibilityRule {
        manufacturer: Some("ACME".parse().unwrap()),
        model: Some("P9".parse().unwrap()),
        class: Some(IdentifierQuery { system: Some("urn:acme:class".into()), value: "pump-9".into() }),
        code: Some(69_985),
        part_number: Some("700-12".parse().unwrap()),
        hardware: Some(at_least("1.2")),
    };
    manifest.compatibility = vec![rule.clone()];
    assert_eq!(pump.against(&manifest), Vec::<String>::new());
    type Spoil = fn(&mut CompatibilityRule);
    let spoiled: [(Spoil, &str); 6] = [
        (
            |rule| rule.manufacturer = Some("Bolt".parse().unwrap()),
            "the manufacturer `ACME`, wanted the manufacturer `Bolt`",
        ),
        (|rule| rule.model = Some("p9".parse().unwrap()), "the model `P9`, wanted the model `p9`"),
        (|rule| rule.class = Some(label("pump")), "the classes `69985`, `pump-9`, wanted the class `pump`"),
        (|rule| rule.code = Some(69_986), "the codes `69985`, `pump-9`, wanted the code `69986`"),
        (
            |rule| rule.part_number = Some("700-13".parse().unwrap()),
            "the part number `700-12`, wanted the part number `700-13`",
        ),
        (
            |rule| rule.hardware = Some(at_least("1.5")),
            "the hardware `1.4`, wanted the hardware at least `1.5` (dotted)",
        ),
    ];
    for (spoil, wrong) in spoiled {
        let mut other = rule.clone();
        spoil(&mut other);
        manifest.compatibility = vec![other.clone()];
        let wanted = format!("against, compatibility at UpdateManifest.compatibility[0]: `mds` has {wrong}");
        assert_eq!(pump.against(&manifest), [wanted]);
        manifest.compatibility = vec![other, rule.clone()];
        assert_eq!(pump.against(&manifest), Vec::<String>::new());
    }
    // Of two rules that do not fit, each says what it misses.
    let models = ["P7", "P8"]
        .map(|model| CompatibilityRule { model: Some(model.parse().unwrap()), ..CompatibilityRule::default() });
    manifest.compatibility = models.to_vec();
    assert_eq!(pump.against(&manifest).len(), 2);
    // What names nothing fits nothing.
    manifest.compatibility = vec![CompatibilityRule::default()];
    assert_eq!(pump.against(&manifest).len(), 1);
    manifest.compatibility.clear();
    assert_eq!(pump.against(&manifest).len(), 1);
}

#[test]
fn unknown_device_does_not_match() {
    let (pump, manifest) = (Pump::new(), smallest());
    let tree = TreeBuilder::new().with_items(&pump.components).build();
    let reasons = explain(&tree, tree.get("mds").unwrap(), &manifest, &Situation::at(NOW));
    let wanted =
        "against, compatibility at UpdateManifest.compatibility[0]: `mds` has the model nothing, wanted the model `P9`";
    assert_eq!(against(reasons).last().map(String::as_str), Some(wanted));
}

#[test]
fn requirement_is_searched_in_its_scope() {
    let pump = Pump::new();
    let mut manifest = smallest();
    manifest.target = Target { code: Some(69_986), ..Target::default() };
    let mut outcome = |requirement: Requirement| {
        manifest.requires = vec![requirement];
        let reasons = pump.reasons("syringe", &manifest, &Situation::at(NOW));
        let of: Vec<_> = reasons.into_iter().filter(|reason| reason.code == AdmissionReasonCode::Requirement).collect();
        let said =
            of.iter().map(|one| format!("{}{}={}", if one.is_against { "-" } else { "+" }, one.component, one.found));
        said.collect::<Vec<_>>().join(" ")
    };
    let (hardware, software, firmware) = (ProductionSpec::Hardware, ProductionSpec::Software, ProductionSpec::Firmware);
    assert_eq!(outcome(requiring(RequirementScope::Parent, hardware, "1.4")), "+mds=`1.4`");
    assert_eq!(outcome(requiring(RequirementScope::Parent, hardware, "1.5")), "-mds=`1.4`");
    assert_eq!(
        outcome(requiring(RequirementScope::Ancestor(Level::Mds), software, "2.3")),
        "-mds=`2.3.0`".replace('-', "+")
    );
    assert_eq!(outcome(requiring(RequirementScope::Ancestor(Level::Vmd), software, "2.3")), "-=no such component");
    assert_eq!(outcome(requiring(RequirementScope::DeviceRoot, software, "2.4")), "-mds=`2.3.0`");
    assert_eq!(outcome(requiring(RequirementScope::Sibling, firmware, "1.2")), "+mds/door=`1.2`");
    assert_eq!(outcome(requiring(RequirementScope::Sibling, software, "1.2")), "-mds/door=nothing");
    assert_eq!(outcome(requiring(RequirementScope::Child, firmware, "1.0")), "-mds/syringe/channel=nothing");
    // Each of several items has to have it, where none is named.
    assert_eq!(outcome(requiring(RequirementScope::Itself, firmware, "3.0")), "+mds/syringe=`3.0`, `9.0`");
    assert_eq!(outcome(requiring(RequirementScope::Itself, firmware, "3.1")), "-mds/syringe=`3.0`, `9.0`");
    let boot =
        |version| Requirement { item: Some(label("boot")), ..requiring(RequirementScope::Itself, firmware, version) };
    assert_eq!(outcome(boot("3.1")), "+mds/syringe=`9.0`");
    let of_code = |code| {
        let of = Some(Target { code: Some(code), ..Target::default() });
        Requirement { of, ..requiring(RequirementScope::Sibling, firmware, "1.2") }
    };
    assert_eq!(outcome(of_code(69_990)), "+mds/door=`1.2`");
    assert_eq!(outcome(of_code(69_986)), "-=no such component");
    let digest = RequiredValue::Digest(fhir_devices::store::Sha256::of(b"firmware"));
    assert_eq!(outcome(Requirement { wanted: digest, ..boot("1.0") }), "-mds/syringe=`9.0`");
}

#[test]
fn component_entered_in_error_meets_no_requirement() {
    let mut pump = Pump::new();
    let door = pump.components[2].to_json();
    let void = door.replace(
        r#""productionSpecification""#,
        r#""operationalStatus":[{"coding":[{"code":"entered-in-error"}]}],"productionSpecification""#,
    );
    pump.components[2] = DeviceComponent::from_json(void.as_bytes()).unwrap();
    assert!(pump.tree().get("door").unwrap().is_void());
    let mut manifest = smallest();
    manifest.target = Target { code: Some(69_986), ..Target::default() };
    manifest.requires = vec![requiring(RequirementScope::Sibling, ProductionSpec::Firmware, "1.2")];
    let said = against(pump.reasons("syringe", &manifest, &Situation::at(NOW)));
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("found no such component"), "{said:?}");
}
