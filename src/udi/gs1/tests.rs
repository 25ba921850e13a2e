#![allow(clippy::string_slice, reason = "a test may stop where it stands")]

use super::super::{ParseMode, Udi};
use super::table::{Row, leading, row_of};

/// GS1's table of application identifiers, where the corpus is at hand.
#[test]
fn gs1_table_agrees_with_the_published_one() {
    /// What is asked of components here; of names, codes and coupons the length and the characters are.
    const ASKED: [&str; 12] = [
        "csum",
        "csumalpha",
        "hasnondigit",
        "yymmdd",
        "yymmd0",
        "yyyymmdd",
        "hhmi",
        "hh",
        "mi",
        "ss",
        "zero",
        "nonzero",
    ];
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus");
    let folder = std::env::var("FHIR_DEVICES_CORPUS").unwrap_or_else(|_| beside.to_owned());
    let Ok(table) = std::fs::read_to_string(format!("{folder}/gs1_ai.tsv")) else {
        eprintln!("skipped: no corpus (set FHIR_DEVICES_CORPUS to a folder that holds it)");
        return;
    };
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (ai, attributes) = (columns[0], columns[3]);
        let row = row_of(ai).unwrap_or_else(|| panic!("{ai} is missing"));
        let component = |text: &str| {
            let mut parts = text.split(',');
            let shape = parts.next().unwrap_or_default();
            let asked = parts.filter(|part| ASKED.contains(part) || *part == "yesno");
            std::iter::once(shape).chain(asked).collect::<Vec<_>>().join(",")
        };
        let format: Vec<String> = columns[2].split(' ').map(component).collect();
        assert_eq!(row.format, format.join(" "), "{ai}");
        let attribute = |name: &str| attributes.split(' ').find_map(|one| one.strip_prefix(name)).unwrap_or_default();
        assert_eq!(row.requires, attribute("req="), "{ai}");
        let own = format!("{}n", &ai[..ai.len() - 1]);
        let excludes: Vec<&str> = attribute("ex=").split(',').map(|one| if one == own { "=" } else { one }).collect();
        assert_eq!(row.excludes, excludes.join(","), "{ai}");
        let length = Row::predefined_length(ai);
        assert_eq!(length.is_none(), columns[1] == "yes", "{ai}");
        if let Some(length) = length {
            assert!(row.format.starts_with(&format!("N{length}")), "{ai}");
        }
    }
}

fn rules(text: &str) -> Vec<String> {
    match Udi::parse(text, ParseMode::Strict, 2026) {
        Ok(_) => Vec::new(),
        Err(report) => report.iter().map(|issue| issue.rule.to_string()).collect(),
    }
}

#[test]
fn application_identifiers_are_prefix_free() {
    let all: Vec<String> = (2..=4)
        .flat_map(|width| {
            (0..10_usize.pow(width)).map(move |number| format!("{number:0width$}", width = width as usize))
        })
        .filter(|ai| row_of(ai).is_some())
        .collect();
    assert_eq!(all.len(), 541);
    for ai in &all {
        assert_eq!(leading(&format!("{ai}1")).unwrap().0, ai);
    }
    assert!(["3106", "3300 ", "+1", "9", "00100", "05"].iter().all(|ai| row_of(ai).is_none()));
}

#[test]
fn required_and_excluded_elements_are_checked() {
    assert_eq!(rules("(01)09506000117843(3100)000001(3200)000001"), [""; 0]);
    assert_eq!(rules("(01)09506000117843(3100)000001(3101)000001"), ["gs1-excludes", "gs1-excludes"]);
    assert_eq!(rules("(01)09506000117843(21)1(250)X"), [""; 0]);
    assert_eq!(rules("(01)09506000117843(250)X"), ["gs1-requires"]);
    assert_eq!(rules("(01)09506000117843(21)1(235)2"), ["gs1-excludes"]);
    assert_eq!(rules("(01)09506000117843(3103)000001(3920)12"), [""; 0]);
    assert_eq!(rules("(01)09506000117843(3920)12"), ["gs1-requires"]);
}

#[test]
fn each_component_of_a_format_is_checked() {
    let with = |more: &str| rules(&format!("(01)09506000117843{more}"));
    for good in
        ["(7003)2712312359", "(7007)260101260131", "(8008)26010112", "(8008)260101125959", "(423)276040", "(423)276"]
    {
        assert_eq!(with(good), [""; 0], "{good}");
    }
    for (bad, rule) in [
        ("(7003)2712312400", "date-time"),
        ("(7003)2712312360", "date-time"),
        ("(7003)2712002359", "date-day"),
        ("(7007)260101260132", "date-day"),
        ("(7007)26010126013", "gs1-length"),
        ("(8008)26010112596", "gs1-length"),
        ("(8008)260101125960", "date-time"),
        ("(423)2760", "gs1-length"),
        ("(8013)1", "gs1-length"),
        ("(8014)95060001178432", "gs1-check-pair"),
        ("(240)", "gs1-length"),
        ("(10)A B", "gs1-charset"),
        ("(10)A\\B", "gs1-charset"),
    ] {
        assert_eq!(with(bad).first().map(String::as_str), Some(rule), "{bad}");
    }
}

#[test]
fn parentheses_in_values_are_data() {
    for lot in ["A(B)", "(10)", "(10)(21)", "A(21)(", "((21)", ")(1)", "(99999)"] {
        let aidc = format!("010950600011784310{lot}");
        let udi = Udi::parse(&aidc, ParseMode::Strict, 2026).unwrap().udi;
        assert_eq!(udi.lot(), Some(lot));
        assert_eq!(Udi::parse(&udi.to_hrf(), ParseMode::Strict, 2026).unwrap().udi, udi, "{}", udi.to_hrf());
        assert_eq!(udi.to_aidc(), aidc);
    }
}
