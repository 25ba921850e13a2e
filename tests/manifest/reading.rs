//! Accepted and refused manifests, with each finding; and the schema, which agrees.

use super::*;
use fhir_devices::containment::IdentifierQuery;
use fhir_devices::manifest::{
    ActorId, Artifact, ArtifactName, Bounds, CompatibilityRule, DowngradeAuthorization, ProductionSpec, RequiredValue,
    Requirement, RequirementScope, Target, UpdateIdentity, Urgency, VersionRange, VersionScheme,
};
use fhir_devices::nomenclature::Level;
use fhir_devices::primitive::{Code, Id, Text};
use fhir_devices::store::Sha256;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use std::sync::OnceLock;
use time::OffsetDateTime;

fn schema() -> &'static jsonschema::Validator {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let text = include_str!("../../schemas/update-manifest.schema.json");
        let schema: Value = serde_json::from_str(text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
        jsonschema::validator_for(&schema).unwrap()
    })
}

/// Rules that JSON Schema cannot express.
const BEYOND_THE_SCHEMA: [&str; 7] = [
    "bound-outside-its-scheme",
    "duplicate-member",
    "end-beyond-the-year-9999",
    "range-that-no-version-is-in",
    "two-files-of-one-name",
    "version-outside-its-scheme",
    "version-with-a-leading-zero",
];

#[test]
fn accepted_manifests_match_the_schema_and_round_trip() {
    let schema = schema();
    let all = documents("accepted");
    assert!(all.len() >= 2);
    for (name, json) in all {
        let manifest = UpdateManifest::from_json(&json).unwrap_or_else(|report| panic!("{name}: {report}"));
        let document: Value = serde_json::from_slice(&json).unwrap();
        let objection = schema.validate(&document).err().map(|error| error.to_string());
        assert_eq!(objection, None, "{name}");
        assert_eq!(UpdateManifest::from_json(manifest.to_json().as_bytes()), Ok(manifest), "{name}");
    }
}

#[test]
fn every_manifest_member_is_read() {
    let manifest = every_member();
    assert_eq!(manifest.identity.to_string(), "acme pump/syringe 2017-04-19");
    assert_eq!(manifest.sequence, u64::MAX);
    assert_eq!(manifest.target.component, Some("syringe-1".parse().unwrap()));
    assert_eq!(manifest.compatibility.len(), 2);
    let requirements: Vec<String> = manifest.requires.iter().map(ToString::to_string).collect();
    let digest = manifest.artifacts[0].sha256;
    assert_eq!(
        requirements,
        [
            "the hardware of the component itself one of `B`, `C` (opaque)".to_owned(),
            "the software of the item `os` of the parent at least `3.1.0-rc.1` and below `4.0.0` (semver)".to_owned(),
            "the protocol of the mds above at least `1.0` (dotted)".to_owned(),
            "the firmware of each sibling that is the component with the code `69986` at most `2018-01-31` (date)"
                .to_owned(),
            format!("the firmware of each child with the digest `{digest}`"),
            "the software of the component at the top below `9.0.0.1` (dotted)".to_owned(),
        ]
    );
    assert_eq!(manifest.artifacts[1].size, u64::MAX);
    assert_eq!(manifest.urgency, Urgency::SafetyCorrection);
    assert_eq!(manifest.expires_at, Some(time::macros::datetime!(2018-12-31 22:00 UTC)));
    assert_eq!(manifest.downgrade.unwrap().approved_by.len(), 2);
}

#[test]
fn refused_manifests_have_their_findings() {
    let schema = schema();
    let mut shown = String::new();
    for (name, json) in documents("refused") {
        let Err(report) = UpdateManifest::from_json(&json) else { panic!("{name} was accepted") };
        assert!(report.has_errors(), "{name}");
        shown.push_str(&format!("{name}\n  {}\n", report.to_string().replace('\n', "\n  ")));
        if let Ok(document) = serde_json::from_slice(&json) {
            let beyond = BEYOND_THE_SCHEMA.contains(&name.as_str());
            assert_eq!(schema.is_valid(&document), beyond, "{name}");
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn oversized_manifest_is_not_read() {
    let mut json = document("smallest");
    json.resize(64 * 1024, b' ');
    assert!(UpdateManifest::from_json(&json).is_ok());
    json.push(b' ');
    let report = UpdateManifest::from_json(&json).unwrap_err();
    assert_eq!(report.to_string(), "fatal too-large at UpdateManifest: found 65537 bytes, wanted at most 65536");
    let deep = "[".repeat(60_000);
    let report = UpdateManifest::from_json(deep.as_bytes()).unwrap_err();
    assert!(report.to_string().contains("json-depth"), "{report}");
}

#[test]
fn non_utf_8_bytes_are_refused() {
    let report = UpdateManifest::from_json(b"{\"format\":\xff}").unwrap_err();
    assert_eq!(report.to_string(), "fatal json at UpdateManifest: found bytes that are not UTF-8");
}

// -------------------------------------------------------------------------------------------------------- strategies

fn labels() -> BoxedStrategy<IdentifierQuery> {
    (option::of("\\PC{1,20}"), "\\PC{1,20}").prop_map(|(system, value)| IdentifierQuery { system, value }).boxed()
}

fn texts() -> BoxedStrategy<Text> {
    "\\PC{1,20}".prop_map(|text| text.parse().unwrap()).boxed()
}

fn moments() -> BoxedStrategy<OffsetDateTime> {
    (-62_135_510_400_i64..253_402_214_400)
        .prop_map(|second| OffsetDateTime::from_unix_timestamp(second).unwrap())
        .boxed()
}

fn targets() -> BoxedStrategy<Target> {
    let level = option::of(select(Level::ALL.to_vec()));
    let id = option::of("[A-Za-z0-9.-]{1,64}".prop_map(|id| id.parse::<Id>().unwrap()));
    (level, option::of(any::<u32>()), option::of(labels()), option::of(labels()), id)
        .prop_map(|(level, code, identifier, item, component)| Target { level, code, identifier, item, component })
        .prop_filter("names nothing", |target| !target.is_empty())
        .boxed()
}

/// A version in a scheme.
fn version(scheme: VersionScheme) -> BoxedStrategy<String> {
    match scheme {
        VersionScheme::Semver => {
            "(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){2}(-rc\\.[1-9]|-a-b)?(\\+b[0-9])?".boxed()
        }
        VersionScheme::Dotted => "[0-9]{1,3}(\\.[0-9]{1,3}){1,3}".boxed(),
        VersionScheme::Date => {
            "20[0-9]{2}-0[1-9]-[12][0-9]".prop_filter("no day", |day| !day.contains("-02-29")).boxed()
        }
        _ => "[A-Za-z]{1,9}( [0-9]{1,3})?".boxed(),
    }
}

fn schemes() -> BoxedStrategy<VersionScheme> {
    select(VersionScheme::ALL.to_vec()).boxed()
}

fn ranges() -> BoxedStrategy<VersionRange> {
    schemes()
        .prop_flat_map(|scheme| (Just(scheme), vec(version(scheme), 1..4), any::<[bool; 3]>()))
        .prop_filter_map("hollow", |(scheme, versions, [least, most, below])| {
            let mut versions: Vec<_> = versions.into_iter().map(|version| version.parse().unwrap()).collect();
            if scheme == VersionScheme::Opaque || !(least || most || below) {
                return Some(VersionRange::one_of(scheme, versions));
            }
            versions.sort_by(|one, other| scheme.compare(one, other).unwrap());
            let (first, last) = (versions[0].clone(), versions[versions.len() - 1].clone());
            let rises = scheme.compare(&first, &last).unwrap().is_lt();
            let bounds = Bounds {
                at_least: least.then_some(first),
                at_most: most.then_some(last.clone()),
                below: (below && (rises || !least)).then_some(last),
            };
            (!bounds.is_empty()).then(|| VersionRange::between(scheme, bounds))
        })
        .boxed()
}

fn requirements() -> BoxedStrategy<Requirement> {
    let scope = prop_oneof![
        Just(RequirementScope::Itself),
        Just(RequirementScope::Parent),
        select(Level::ALL.to_vec()).prop_map(RequirementScope::Ancestor),
        Just(RequirementScope::Sibling),
        Just(RequirementScope::Child),
        Just(RequirementScope::DeviceRoot),
    ];
    let wanted = prop_oneof![
        ranges().prop_map(RequiredValue::Range),
        any::<[u8; 32]>().prop_map(|digest| RequiredValue::Digest(Sha256(digest))),
    ];
    (scope, option::of(targets()), select(ProductionSpec::ALL.to_vec()), option::of(labels()), wanted)
        .prop_map(|(scope, of, spec, item, wanted)| Requirement { scope, of, spec, item, wanted })
        .boxed()
}

fn rules() -> BoxedStrategy<CompatibilityRule> {
    let texts = (option::of(texts()), option::of(texts()), option::of(texts()));
    (texts, option::of(labels()), option::of(any::<u32>()), option::of(ranges()))
        .prop_map(|((manufacturer, model, part_number), class, code, hardware)| CompatibilityRule {
            manufacturer,
            model,
            class,
            code,
            part_number,
            hardware,
        })
        .prop_filter("names nothing", |rule| !rule.is_empty())
        .boxed()
}

fn artifacts() -> BoxedStrategy<Vec<Artifact>> {
    let name = "[a-z][a-z ._-]{0,12}[a-z]";
    vec((name, "[a-z]{1,9}/[a-z]{1,9}", 1..=u64::MAX, any::<[u8; 32]>()), 1..4)
        .prop_map(|all| {
            let each = all.into_iter().enumerate();
            each.map(|(index, (name, media_type, size, digest))| Artifact {
                name: ArtifactName::new(format!("{name}{index}")).unwrap(),
                media_type: Code::new(media_type).unwrap(),
                size,
                sha256: Sha256(digest),
            })
            .collect()
        })
        .boxed()
}

fn downgrades() -> BoxedStrategy<DowngradeAuthorization> {
    let actor = "[a-z.@]{1,9}".prop_map(|id| id.parse::<ActorId>().unwrap());
    (any::<u64>(), any::<u64>(), texts(), vec(actor, 1..3), moments())
        .prop_map(|(from, to, reason, approved_by, not_after)| DowngradeAuthorization {
            from,
            to,
            reason,
            approved_by,
            not_after,
        })
        .boxed()
}

pub(crate) fn manifests() -> BoxedStrategy<UpdateManifest> {
    let identity = schemes().prop_flat_map(|scheme| (Just(scheme), version(scheme), "[a-z]{1,9}", "[a-z/]{1,9}"));
    let head = (identity, any::<u64>(), targets(), select(ProductionSpec::ALL.to_vec()));
    let body = (vec(rules(), 1..4), vec(requirements(), 0..4), artifacts());
    let tail = (select(Urgency::ALL.to_vec()), option::of(moments()), option::of(downgrades()));
    (head, body, tail)
        .prop_map(|((identity, sequence, target, spec), body, tail)| {
            let (scheme, version, provider, name) = identity;
            let identity = UpdateIdentity {
                provider: provider.parse().unwrap(),
                name: name.parse().unwrap(),
                version: version.parse().unwrap(),
                scheme,
            };
            let mut manifest = UpdateManifest::new(identity, sequence, target, spec);
            (manifest.compatibility, manifest.requires, manifest.artifacts) = body;
            (manifest.urgency, manifest.expires_at, manifest.downgrade) = tail;
            manifest
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn generated_manifests_round_trip_and_match_the_schema(manifest in manifests()) {
        let json = manifest.to_json();
        let document: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(UpdateManifest::from_json(json.as_bytes()).map_err(|report| report.to_string()), Ok(manifest));
        let objection = schema().validate(&document).err().map(|error| error.to_string());
        prop_assert_eq!(objection, None, "{}", json);
    }
}
