//! The orders of versions, and ranges of versions.

use fhir_devices::manifest::{Bounds, VersionLabel, VersionRange, VersionScheme};
use proptest::prelude::*;
use std::cmp::Ordering;

fn label(text: &str) -> VersionLabel {
    text.parse().unwrap()
}

fn compare(scheme: VersionScheme, one: &str, other: &str) -> Option<Ordering> {
    scheme.compare(&label(one), &label(other))
}

#[test]
fn semantic_versions_order_by_specification() {
    let rising = [
        "0.0.0",
        "0.9.9",
        "1.0.0-0",
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0-99999999999999999999999",
        "1.0.0--",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "2.0.0",
        "18446744073709551616.0.0",
    ];
    for (index, one) in rising.iter().enumerate() {
        for (other_index, other) in rising.iter().enumerate() {
            assert_eq!(compare(VersionScheme::Semver, one, other), Some(index.cmp(&other_index)), "{one} {other}");
        }
    }
    assert_eq!(compare(VersionScheme::Semver, "1.0.0+a", "1.0.0+b.01"), Some(Ordering::Equal));
}

#[test]
fn invalid_version_is_not_ordered() {
    let semver = [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "01.2.3",
        "1.02.3",
        "1.2.03",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3+a+b",
        "1.2.3+a..b",
        "v1.2.3",
        "1.2.3 ",
        "1.2.-3",
        "1.2.3-ä",
        "a.b.c",
        "1.2.3-a_b",
    ];
    let dotted = ["", "1", "1.", ".1", "1..2", "1.2.3.4.5", "1.2a", "1.-2", "1.2 ", "１.２"];
    let date = ["", "2017", "2017-04", "2017-13-01", "2017-02-29", "20170419", "2017-04-19T10:00:00Z", "-2017-04-19"];
    for (scheme, all) in
        [(VersionScheme::Semver, &semver[..]), (VersionScheme::Dotted, &dotted), (VersionScheme::Date, &date)]
    {
        for text in all {
            assert!(!scheme.fits(text), "{scheme} {text}");
        }
    }
}

#[test]
fn dotted_versions_compare_by_number() {
    let dotted = |one, other| compare(VersionScheme::Dotted, one, other);
    assert_eq!(dotted("1.9", "1.10"), Some(Ordering::Less));
    assert_eq!(dotted("1.2", "1.2.0.0"), Some(Ordering::Equal));
    assert_eq!(dotted("1.02", "1.2"), Some(Ordering::Equal));
    assert_eq!(dotted("1.2", "1.2.0.1"), Some(Ordering::Less));
    assert_eq!(dotted("2.0", "1.99999999999999999999999999"), Some(Ordering::Greater));
    assert_eq!(dotted("1.2", "one.two"), None);
}

#[test]
fn opaque_versions_compare_for_equality_only() {
    assert_eq!(compare(VersionScheme::Opaque, "B", "B"), Some(Ordering::Equal));
    assert_eq!(compare(VersionScheme::Opaque, "A", "B"), None);
    assert_eq!(compare(VersionScheme::Opaque, "1.0", "1.00"), None);
    // Also where the texts would have one.
    let bounds = Bounds { at_least: Some(label("A")), ..Bounds::default() };
    assert!(!VersionRange::between(VersionScheme::Opaque, bounds).has("B"));
}

#[test]
fn empty_version_range_matches_nothing() {
    for scheme in VersionScheme::ALL {
        let range = VersionRange::between(scheme, Bounds::default());
        assert!(!range.has("1.0.0"));
        assert_eq!(range.to_string(), format!("no version ({scheme})"));
    }
}

/// A version of one scheme; many are close to each other.
fn of(scheme: VersionScheme) -> BoxedStrategy<String> {
    match scheme {
        VersionScheme::Semver => {
            "(0|[1-9][0-9]?)(\\.(0|[1-9][0-9]?)){2}(-(0|[1-9]|[a-b-][0-9]?)(\\.(0|[1-9]|[a-b-]))?)?(\\+[ab])?".boxed()
        }
        VersionScheme::Dotted => "[0-2]{1,2}(\\.[0-2]{1,2}){1,3}".boxed(),
        VersionScheme::Date => "201[78]-0[1-3]-[12][0-8]".boxed(),
        _ => "[AB]".boxed(),
    }
}

fn three() -> impl Strategy<Value = (VersionScheme, String, String, String)> {
    prop::sample::select(VersionScheme::ALL.to_vec())
        .prop_flat_map(|scheme| (Just(scheme), of(scheme), of(scheme), of(scheme)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn ordered_schemes_are_total_orders((scheme, a, b, c) in three()) {
        prop_assert_eq!(compare(scheme, &a, &a), Some(Ordering::Equal));
        let (ab, ba) = (compare(scheme, &a, &b), compare(scheme, &b, &a));
        prop_assert_eq!(ab, ba.map(Ordering::reverse));
        prop_assert_eq!(ab.is_some(), scheme != VersionScheme::Opaque || a == b);
        if let (Some(ab), Some(bc)) = (ab, compare(scheme, &b, &c)) && (ab == bc || ab.is_eq() || bc.is_eq()) {
            prop_assert_eq!(compare(scheme, &a, &c), Some(if ab.is_eq() { bc } else { ab }));
        }
    }

    #[test]
    fn version_range_follows_its_bounds((scheme, a, b, c) in three(), [least, most, below] in any::<[bool; 3]>()) {
        let bound = |is: bool, text: &str| is.then(|| label(text));
        let bounds = Bounds { at_least: bound(least, &a), at_most: bound(most, &b), below: bound(below, &b) };
        let known = |one: &str, holds: fn(Ordering) -> bool| compare(scheme, &c, one).is_some_and(holds);
        let wanted = (least || most || below)
            && (!least || known(&a, Ordering::is_ge))
            && (!most || known(&b, Ordering::is_le))
            && (!below || known(&b, Ordering::is_lt));
        prop_assert_eq!(VersionRange::between(scheme, bounds).has(&c), wanted);
        let list = VersionRange::one_of(scheme, vec![label(&a), label(&b)]);
        prop_assert_eq!(list.has(&c), known(&a, Ordering::is_eq) || known(&b, Ordering::is_eq));
    }

    #[test]
    fn version_schemes_never_panic(one in "\\PC{1,30}|[0-9.+-]{1,30}", other in "\\PC{1,30}|[0-9.+-]{1,30}") {
        for scheme in VersionScheme::ALL {
            if let (Ok(one), Ok(other)) = (VersionLabel::new(&one), VersionLabel::new(&other)) {
                let both = scheme.fits(one.as_str()) && scheme.fits(other.as_str());
                prop_assert_eq!(scheme.compare(&one, &other).is_some(), both && (scheme != VersionScheme::Opaque || one == other));
            }
        }
    }
}
