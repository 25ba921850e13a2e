//! The rules of containment: the severity of each, and a tree that breaks it.

use super::common::corpus;
use fhir_devices::containment::{ContainmentRule, Profile, TreeBuilder};
use fhir_devices::{Resource, Severity};
use std::collections::BTreeSet;

/// Rules that cannot be broken in STU3: they are about the `Device` of R4 that stands for a VMD, a channel or an MDS.
const NOT_OF_STU3: [&str; 2] = ["CT-32", "CT-33"];

/// The severities in `base` and `pocd`, for machines without the corpus.
const SEVERITIES: &str = "01 e e|02 e e|03 e e|04 i w|05 w e|06 w e|07 w e|08 w e|09 w e|10 w e|11 i e|12 i e|13 i e|14 w e|\
    15 w e|16 w e|17 w e|18 i w|19 i w|20 i e|21 w e|22 i w|23 w w|24 w e|25 w e|26 w e|27 w e|28 w w|29 w w|30 w w|\
    31 - i|34 i i|35 w w";

fn severity(word: &str) -> Option<Severity> {
    match word.split(' ').next().unwrap() {
        "error" | "e" => Some(Severity::Error),
        "warning" | "w" => Some(Severity::Warning),
        "info" | "i" => Some(Severity::Information),
        "none" | "n/a" | "-" => None,
        other => panic!("{other}"),
    }
}

fn of_key(key: &str) -> ContainmentRule {
    *ContainmentRule::ALL.iter().find(|rule| rule.key() == key).unwrap_or_else(|| panic!("no rule {key}"))
}

#[test]
fn rule_severities_agree_with_the_distilled_table() {
    for row in SEVERITIES.split('|') {
        let mut words = row.trim().split(' ');
        let rule = of_key(&format!("CT-{}", words.next().unwrap()));
        for profile in [Profile::Base, Profile::Pocd] {
            assert_eq!(rule.severity(profile), severity(words.next().unwrap()), "{rule} {profile}");
        }
    }
    let keys: BTreeSet<_> = ContainmentRule::ALL.iter().map(|rule| rule.key()).collect();
    assert_eq!(keys.len(), ContainmentRule::ALL.len());
}

#[test]
fn rule_severities_agree_with_the_corpus_table() {
    let Some(corpus) = corpus() else { return };
    let table = std::fs::read_to_string(corpus.join("containment_rules.tsv")).unwrap();
    let mut checked = 0;
    for row in table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>()) {
        if NOT_OF_STU3.contains(&row[0]) {
            continue;
        }
        let rule = of_key(row[0]);
        assert_eq!(rule.severity(Profile::Base), severity(row[3]), "{row:?}");
        assert_eq!(rule.severity(Profile::Pocd), severity(row[4]), "{row:?}");
        checked += 1;
    }
    assert_eq!(checked, ContainmentRule::ALL.iter().filter(|rule| rule.key().starts_with("CT-")).count());
}

/// A device without a fault, as resources: each case changes one thing.
const SOUND: &[&str] = &[
    r#""Device","id":"d","identifier":[{"type":{"coding":[{"code":"SNO"}]},"value":"S1"}]"#,
    r#""DeviceComponent","id":"m","identifier":{"value":"1"},"type":{MDS},"source":{"reference":"Device/d"},
        "productionSpecification":[{"specType":{"coding":[{"code":"serial-number"}]},"productionSpec":"S1"}]"#,
    r#""DeviceComponent","id":"v","identifier":{"value":"1.1"},"type":{VMD},"source":{"reference":"Device/d"},
        "parent":{"reference":"DeviceComponent/m"}"#,
    r#""DeviceComponent","id":"c","identifier":{"value":"1.1.1"},"type":{CHAN},"source":{"reference":"Device/d"},
        "parent":{"reference":"DeviceComponent/v"}"#,
    r#""DeviceMetric","id":"x","identifier":{"value":"1.1.1.1"},"type":{METRIC},"category":"measurement",
        "unit":{UNIT},"source":{"reference":"Device/d"},"parent":{"reference":"DeviceComponent/c"}"#,
];

fn coding(code: &str, display: &str) -> String {
    format!(r#"{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"{code}","display":"{display}"}}]}}"#)
}

fn read(members: &[String]) -> Vec<Resource> {
    let put = |text: &str| {
        let mut text = text.to_owned();
        for (word, code, name) in [
            ("{MDS}", "69641", "MDC_DEV_ANALY_SAT_O2_MDS"),
            ("{VMD}", "69642", "MDC_DEV_ANALY_SAT_O2_VMD"),
            ("{CHAN}", "69643", "MDC_DEV_ANALY_SAT_O2_CHAN"),
            ("{METRIC}", "150456", "MDC_PULS_OXIM_SAT_O2"),
            ("{UNIT}", "262688", "MDC_DIM_PERCENT"),
        ] {
            text = text.replace(word, &coding(code, name));
        }
        text
    };
    let json = |members: &String| format!(r#"{{"resourceType":{}}}"#, put(members));
    members
        .iter()
        .map(|one| Resource::from_json(json(one).as_bytes()).unwrap_or_else(|e| panic!("{one}: {e}")))
        .collect()
}

fn found(members: &[String], profile: Profile) -> Vec<(String, String)> {
    let all = read(members);
    let tree = all.iter().fold(TreeBuilder::new(), TreeBuilder::with).build();
    tree.report(profile).iter().map(|issue| (issue.rule.to_string(), issue.at.clone())).collect()
}

#[test]
fn sound_device_has_no_findings() {
    let sound: Vec<String> = SOUND.iter().map(ToString::to_string).collect();
    for profile in [Profile::Base, Profile::Pocd] {
        assert_eq!(found(&sound, profile), []);
    }
}

/// Each case: the expected rules, the changed resource, the replaced text, and its replacement; number 9 adds a
/// resource.
#[test]
fn every_rule_has_a_tree_that_breaks_it() {
    let generic = coding("69640", "MDC_DEV_ANALY_SAT_O2");
    let swapped = coding("69641", "MDC_DEV_ANALY_SAT_O2_VMD");
    let battery = coding("65577", "MDC_MOC_BATT");
    let clock = coding("65614", "MDC_MOC_CLOCK");
    let cases: &[(&str, usize, &str, &str)] = &[
        ("CT-01", 1, r#""id":"m""#, r#""id":"m","parent":{"reference":"DeviceComponent/c"}"#),
        (
            "CT-02",
            3,
            r#""parent":{"reference":"DeviceComponent/v"}"#,
            r##""parent":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]"##,
        ),
        (
            "CT-03",
            4,
            r#""parent":{"reference":"DeviceComponent/c"}"#,
            r##""parent":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]"##,
        ),
        ("CT-04", 1, "Device/d", "Device/gone"),
        ("CT-04 CT-18", 2, "DeviceComponent/m", "DeviceComponent/gone"),
        ("CT-05", 3, "{CHAN}", "{VMD}"),
        ("CT-06 CT-18 one-root", 2, r#""parent":{"reference":"DeviceComponent/m"}"#, r#""language":"de""#),
        ("CT-07 CT-19", 3, "DeviceComponent/v", "DeviceComponent/m"),
        ("CT-08 CT-19 one-root", 3, r#""parent":{"reference":"DeviceComponent/v"}"#, r#""language":"de""#),
        ("CT-09 CT-19", 3, "{CHAN}", "{MDS}"),
        ("CT-10", 4, "DeviceComponent/c", "DeviceComponent/v"),
        ("CT-11", 4, r#","parent":{"reference":"DeviceComponent/c"}"#, ""),
        ("CT-12", 4, r#""source":{"reference":"Device/d"},"#, ""),
        ("CT-13", 2, r#""source":{"reference":"Device/d"},"#, ""),
        ("CT-14", 3, "Device/d", "Device/gone"),
        ("CT-15", 4, "Device/d", "Device/gone"),
        (
            "CT-16 CT-17 CT-07",
            9,
            "",
            r#""DeviceComponent","id":"deep","identifier":{"value":"7"},"type":{CHAN},
            "source":{"reference":"Device/d"},"parent":{"reference":"DeviceComponent/c"}"#,
        ),
        ("CT-20 stated-level", 3, "{CHAN}", r#"{"text":"x"}"#),
        ("CT-21", 3, "{CHAN}", &coding("2000", "MDC_X_CHAN")),
        ("CT-21", 4, "{METRIC}", &coding("19384", "MDC_PULS_OXIM_SAT_O2")),
        ("CT-21", 4, "{UNIT}", &coding("544", "x")),
        ("CT-22 stated-level", 3, "{CHAN}", &generic),
        ("CT-23", 1, "{MDS}", &swapped),
        ("CT-24", 3, "{CHAN}", &coding("150456", "MDC_X_CHAN")),
        ("CT-25", 4, "{METRIC}", &coding("69643", "x")),
        ("CT-26", 4, "{UNIT}", &coding("150456", "x")),
        ("CT-27", 3, r#""1.1.1""#, r#""1.1""#),
        ("CT-28", 2, r#""id":"v""#, r#""id":"v","productionSpecification":[{"productionSpec":"x"}]"#),
        ("CT-28", 2, r#""id":"v""#, r#""id":"v","productionSpecification":[{"specType":{"text":"x"}}]"#),
        (
            "CT-29",
            1,
            r#""productionSpecification":["#,
            r#""productionSpecification":[{"specType":{"coding":
            [{"code":"serial-number"}]},"productionSpec":"S1"},"#,
        ),
        (
            "CT-30",
            1,
            r#""id":"m""#,
            r#""id":"m","operationalStatus":[{"coding":[{"code":"on"}]},{"coding":[{"code":"off"}]}]"#,
        ),
        (
            "CT-31",
            9,
            "",
            &format!(
                r#""DeviceComponent","id":"b","identifier":{{"value":"7"}},"type":{battery},
            "source":{{"reference":"Device/d"}},"parent":{{"reference":"DeviceComponent/v"}}"#
            ),
        ),
        (
            "CT-31",
            9,
            "",
            &format!(
                r#""DeviceComponent","id":"b","identifier":{{"value":"7"}},"type":{clock},
            "source":{{"reference":"Device/d"}}"#
            ),
        ),
        ("CT-34", 4, r#""id":"x""#, r#""id":"x","calibration":[{"state":"calibrated"}]"#),
        ("CT-35", 1, r#""productionSpec":"S1""#, r#""productionSpec":"S2""#),
        (
            "source-type",
            1,
            r#""source":{"reference":"Device/d"}"#,
            r##""source":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]"##,
        ),
        (
            "unique-id one-root CT-27 one-target",
            9,
            "",
            r#""DeviceComponent","id":"m","identifier":{"value":"1"},"type":{MDS},
            "source":{"reference":"Device/d"}"#,
        ),
        (
            "codes-agree",
            1,
            r#"{MDS}"#,
            r#"{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69641"},
            {"system":"urn:iso:std:iso:11073:10101","code":"69642"}]}"#,
        ),
    ];
    let mut broken = BTreeSet::new();
    for (wanted, at, text, by) in cases {
        let mut members: Vec<String> = SOUND.iter().map(ToString::to_string).collect();
        match members.get_mut(*at) {
            Some(member) => {
                assert!(member.contains(text), "{wanted}: {text}");
                *member = member.replacen(text, by, 1);
            }
            None => members.push((*by).to_owned()),
        }
        let found: BTreeSet<String> = found(&members, Profile::Pocd).into_iter().map(|(rule, _)| rule).collect();
        for rule in wanted.split(' ') {
            assert!(found.contains(rule), "{wanted}: {found:?}");
            broken.insert(rule.to_owned());
        }
    }
    let all: BTreeSet<String> = ContainmentRule::ALL.iter().map(|rule| rule.key().to_owned()).collect();
    assert_eq!(broken, all);
}

/// A device with some parts: the code, the parent, and whether CT-31 is reported there.
#[test]
fn mds_and_vmd_have_the_allowed_parts() {
    let cases: &[&[(&str, &str, bool)]] = &[
        &[("65577", "m", false), ("65577", "m", false), ("65614", "m", false), ("65579", "m", false)],
        &[("65614", "m", false), ("65614", "m", true), ("65614", "m", true)],
        &[("65579", "m", false), ("65579", "v", false), ("65579", "v", true)],
        &[("65577", "v", true), ("65614", "v", true), ("65579", "c", true), ("65577", "c", true)],
        // Of a parent that is not known nothing can be said.
        &[("65614", "gone", false), ("65614", "gone", false)],
    ];
    for case in cases {
        let mut members: Vec<String> = SOUND.iter().map(ToString::to_string).collect();
        for (number, (code, parent, _)) in case.iter().enumerate() {
            let kind = coding(code, "x");
            members.push(format!(
                r#""DeviceComponent","id":"p{number}","identifier":{{"value":"p{number}"}},"type":{kind},
                "source":{{"reference":"Device/d"}},"parent":{{"reference":"DeviceComponent/{parent}"}}"#
            ));
        }
        let all = read(&members);
        let tree = all.iter().fold(TreeBuilder::new(), TreeBuilder::with).build();
        for (number, (code, parent, wanted)) in case.iter().enumerate() {
            let node = tree.get(&format!("p{number}")).unwrap();
            let found = node.findings().iter().any(|finding| finding.rule == ContainmentRule::PartBelowMds);
            assert_eq!(found, *wanted, "{code} below {parent}");
            assert_eq!((node.level(), node.is_disputed()), (None, false));
        }
    }
    let lone = [coding("65577", "x")]
        .map(|kind| format!(r#""DeviceComponent","id":"b","identifier":{{"value":"7"}},"type":{kind}"#));
    let found: Vec<String> = found(&lone, Profile::Pocd).into_iter().map(|(rule, _)| rule).collect();
    assert!(found.contains(&"CT-31".to_owned()), "{found:?}");
}

/// The content of the device, the serial number of its MDS, and whether they agree.
#[test]
fn mds_serial_agrees_with_identifier_and_udi() {
    let sno = |value: &str| format!(r#""identifier":[{{"type":{{"coding":[{{"code":"SNO"}}]}},"value":"{value}"}}]"#);
    let hrf = r#""udi":{"carrierHRF":"(01)09506000117843(17)141120(10)1234AB(21)A43"}"#;
    let hibcc = r#""udi":{"carrierHRF":"+H123PARTNO1234567890120/$$420020216LOT123456789012345/SXYZ456789012345678/16D20130202C"}"#;
    let broken = r#""udi":{"carrierHRF":"no carrier"}"#;
    let aidc = r#""udi":{"carrierAIDC":"XWQyMDEwOTUwNjAwMDExNzg0MzIxQTQz"}"#;
    let cases = [
        (sno("A43"), "A43", true),
        (sno("B"), "A43", false),
        (hrf.to_owned(), "A43", true),
        (hrf.to_owned(), "A44", false),
        (aidc.to_owned(), "A43", true),
        (aidc.to_owned(), "A44", false),
        (hibcc.to_owned(), "XYZ456789012345678", true),
        (hibcc.to_owned(), "S1", false),
        (format!("{},{hrf}", sno("A43")), "A43", true),
        // Each has to agree.
        (format!("{},{hrf}", sno("B")), "A43", false),
        (format!("{},{hrf}", sno("B")), "B", false),
        (broken.to_owned(), "A43", true),
        (r#""model":"x""#.to_owned(), "A43", true),
    ];
    for (device, serial, agrees) in cases {
        let mut members: Vec<String> = SOUND.iter().map(ToString::to_string).collect();
        members[0] = format!(r#""Device","id":"d",{device}"#);
        members[1] = members[1].replace(r#""productionSpec":"S1""#, &format!(r#""productionSpec":"{serial}""#));
        let found = found(&members, Profile::Base);
        let wanted = ("CT-35".to_owned(), "DeviceComponent.productionSpecification[0].productionSpec".to_owned());
        assert_eq!(found.contains(&wanted), !agrees, "{device} {serial} {found:?}");
    }
    // A VMD may be made, and numbered, on its own.
    let mut members: Vec<String> = SOUND.iter().map(ToString::to_string).collect();
    let specification = r#""id":"v","productionSpecification":[{"specType":{"coding":[{"code":"serial-number"}]},"productionSpec":"7"}]"#;
    members[2] = members[2].replace(r#""id":"v""#, specification);
    assert_eq!(found(&members, Profile::Pocd), []);
}
