//! The level that a code implies, compared with codes found in use.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use fhir_devices::nomenclature::{Level, MDC, Term, is_mdc};

/// Columns: code, partition, term, reference id, level, term modulo 4, domain of the rule, whether it holds there.
#[test]
fn device_codes_have_their_attested_level() {
    let Some(corpus) = common::corpus() else { return };
    let table = std::fs::read_to_string(corpus.join("mdc_levels.tsv")).unwrap();
    let mut in_block = 0;
    for row in table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>()) {
        let (code, level) = (row[0].parse::<u32>().unwrap(), row[4]);
        let wanted = match level {
            "MDS" => Some(Level::Mds),
            "VMD" => Some(Level::Vmd),
            "CHAN" => Some(Level::Channel),
            // What a personal health device is as a whole.
            "SPECIALIZATION" => Some(Level::Mds),
            _ => None,
        };
        let term = code & 0xFFFF;
        match Level::of_code(code) {
            said if code >> 16 == 1 && (4096..6144).contains(&term) => {
                in_block += 1;
                assert_eq!(said, wanted, "{row:?}");
            }
            Some(said) => assert_eq!(Some(said), wanted, "{row:?}"),
            None => {}
        }
        let id = row[3].split(' ').next().unwrap();
        if let (Some(said), Some(wanted)) = (Level::of_name(id), wanted) {
            assert_eq!(said, wanted, "{row:?}");
        }
    }
    assert!(in_block > 180, "{in_block}");
}

#[test]
fn non_device_codes_have_no_level() {
    for code in
        [0, 2, 2_000, 4_097, 65_536 + 4_095, 65_536 + 6_145, 65_536 + 61_441, 131_072 + 4_097, 528_640, u32::MAX]
    {
        assert_eq!(Level::of_code(code), None, "{code}");
    }
    let classes = [(2, Level::Vmd), (3, Level::Channel), (33, Level::Mds), (37, Level::Mds)];
    assert!(classes.iter().all(|(term, level)| Level::of_code(65_536 + term) == Some(*level)));
}

#[test]
fn mdc_is_recognised_by_every_name() {
    let oids = ["urn:oid:1.3.111.2.11073.10101", "urn:oid:1.2.840.10004.1.1.1.0.0.1"];
    assert!(is_mdc(MDC) && oids.iter().all(|oid| is_mdc(oid)));
    assert!(!is_mdc("1.2.840.10004") && !is_mdc(""));
}

#[test]
fn term_partition_separates_devices_metrics_and_units() {
    let kinds = |code: &str| Term::parse(code).map(|term| (term.is_device(), term.is_metric(), term.is_unit()));
    assert_eq!(kinds("69642"), Some((true, false, false)));
    assert_eq!(kinds("150456"), Some((false, true, false)));
    assert_eq!(kinds("262688"), Some((false, false, true)));
    for no_term in ["", "2000", "+69642", " 69642", "69642.0", "off", "4294967296"] {
        assert_eq!(Term::parse(no_term), None, "{no_term}");
    }
    let generic = |code: &str| Term::parse(code).is_some_and(Term::is_generic);
    assert!(generic("69680") && !generic("69681") && !generic("65572"));
}
