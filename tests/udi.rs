//! Carrier strings of every agency: their content, their faults, and that they are written as they were read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod common;
#[path = "udi/generated.rs"]
mod generated;
#[path = "common/growth.rs"]
mod growth;

use generated::with_hibc_check;

use fhir_devices::primitive::Precision;
use fhir_devices::udi::{
    Agency, BasicUdiDi, Carrier, CarrierForm, Day, ParseMode, Parsed, SecondarySymbol, Udi, UdiRule, check,
};
use fhir_devices::{Report, Severity};
use growth::grows;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Vectors that we believe to be wrong, each with the reason. A vector that we come to agree with must leave the list.
const EXCEPTIONS: [(&str, &str); 0] = [];

#[derive(serde::Deserialize)]
struct Vector {
    id: String,
    hrf: Option<String>,
    aidc: Option<String>,
    agency: String,
    kind: String,
    valid: bool,
    ref_year: u16,
    #[serde(flatten)]
    parts: Parts,
    reason: Option<String>,
    lenient: Option<Parts>,
    extra: Option<Map<String, Value>>,
}

#[derive(serde::Deserialize)]
struct Parts {
    di: Option<String>,
    lot: Option<String>,
    serial: Option<String>,
    mfg_date: Option<String>,
    exp_date: Option<String>,
    donation_id: Option<String>,
}

/// Returns a day as the vectors write it: the month alone where the carrier states no more.
fn written(day: Option<Day>) -> Option<String> {
    let day = day?;
    let date = day.date.to_string();
    Some(if day.precision == Precision::Month { date[..7].to_owned() } else { date })
}

impl Parts {
    fn assert_said_by(&self, udi: &Udi) -> Result<(), String> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let pairs = [
            ("di", &self.di, owned(Some(udi.di()))),
            ("lot", &self.lot, owned(udi.lot())),
            ("serial", &self.serial, owned(udi.serial())),
            ("mfg_date", &self.mfg_date, written(udi.manufactured())),
            ("exp_date", &self.exp_date, written(udi.expires())),
            ("donation_id", &self.donation_id, owned(udi.donation_id())),
        ];
        let wrong = pairs.iter().find(|(_, wanted, found)| *wanted != found);
        wrong.map_or(Ok(()), |(name, wanted, found)| Err(format!("{name} is {found:?}, wanted {wanted:?}")))
    }
}

/// Checks the parts of a vector beyond the common ones.
fn assert_extra(extra: &Map<String, Value>, udi: &Udi) -> Result<(), String> {
    let element = |id: &str| udi.elements().iter().find(|element| element.id() == id).map(|element| element.value());
    let part = |from: usize, to: usize| udi.di().get(from..to);
    let end = udi.di().len();
    for (key, value) in extra {
        let found = match key.as_str() {
            "exp_hour" => udi.expires().and_then(|day| day.hour).map(|hour| hour.to_string()),
            "quantity" => udi.quantity().map(|quantity| quantity.to_string()),
            "master_udi_di" => udi.master_udi_di().map(str::to_owned),
            "compound" => continue, // In one of the two forms.
            "din13" => udi.donation_id().map(|din| din[..13].to_owned()),
            "din_flags" => udi.donation_id().map(|din| din[13..].to_owned()),
            "gtin" => element("8P").map(str::to_owned),
            "price" => element("27Q").map(str::to_owned),
            "url" => element("33L").map(str::to_owned),
            "lic" => part(0, 4).map(str::to_owned),
            "pcn" => part(4, end - 1).map(str::to_owned),
            "uom" => part(end - 1, end).map(str::to_owned),
            "pra" => part(0, 2).map(str::to_owned),
            "pzn" => part(2, 10).map(str::to_owned),
            "cin" => part(2, 7).map(str::to_owned),
            "part" => part(7, end - 3).map(str::to_owned),
            "pli" => part(end - 3, end - 2).map(str::to_owned),
            "kind" => continue,
            ai => element(ai).map(str::to_owned),
        };
        let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if found.as_ref() != Some(&wanted) {
            return Err(format!("{key} is {found:?}, wanted {wanted}"));
        }
    }
    Ok(())
}

fn first_error(report: &Report) -> &str {
    &report.iter().find(|issue| issue.severity == Severity::Error).unwrap().rule
}

/// Checks that both forms have the same content when they are read again; the header of a compound message is in the
/// machine form only.
fn assert_round_trip(udi: &Udi, mode: ParseMode, year: u16) -> Result<(), String> {
    let read = |text: &str| Udi::parse(text, mode, year).map(|read| read.udi).map_err(|report| report.to_string());
    if read(&udi.to_aidc())? != *udi {
        return Err(format!("{:?} is another", udi.to_aidc()));
    }
    let again = read(&udi.to_hrf())?;
    let compound = udi.elements().iter().any(|element| element.id() == "=+");
    if !compound && again != *udi || again.to_hrf() != udi.to_hrf() {
        return Err(format!("{:?} is another", udi.to_hrf()));
    }
    Ok(())
}

/// Checks one string of a vector.
fn check_vector(vector: &Vector, text: &str) -> Result<(), String> {
    if vector.kind == "basic-udi-di" {
        let strict = BasicUdiDi::parse(text, ParseMode::Strict);
        return match (strict, &vector.reason) {
            (Ok((basic, _)), None) if Some(basic.as_str()) != vector.parts.di.as_deref() => Err(basic.to_string()),
            (Ok((basic, _)), None) if basic.agency().as_str() != vector.agency => Err(basic.agency().to_string()),
            (Ok(_), None) => Ok(()),
            (Err(report), Some(reason)) if first_error(&report) == reason.replace('_', "-") => Ok(()),
            (Err(report), _) => Err(report.to_string()),
            (Ok(_), Some(reason)) => Err(format!("accepted, wanted {reason}")),
        };
    }
    let strict = Udi::parse(text, ParseMode::Strict, vector.ref_year);
    let lenient = Udi::parse(text, ParseMode::Lenient, vector.ref_year);
    match (&strict, &vector.reason) {
        (Ok(read), None) => {
            if read.udi.agency().as_str() != vector.agency {
                return Err(format!("the agency is {}", read.udi.agency()));
            }
            vector.parts.assert_said_by(&read.udi)?;
            assert_extra(vector.extra.as_ref().unwrap(), &read.udi)?;
            assert_round_trip(&read.udi, ParseMode::Strict, vector.ref_year)?;
            // Whatever the strict mode accepts, the lenient one reads the same.
            return if lenient.as_ref() == Ok(read) { Ok(()) } else { Err(format!("lenient: {lenient:?}")) };
        }
        (Ok(_), Some(reason)) => return Err(format!("accepted, wanted {reason}")),
        (Err(report), None) => return Err(report.to_string()),
        (Err(report), Some(reason)) if first_error(report) != reason.replace('_', "-") => {
            return Err(format!("wanted {reason}: {report}"));
        }
        (Err(_), Some(_)) => {}
    }
    match (&lenient, &vector.lenient) {
        (Ok(Parsed { udi, .. }), Some(parts)) => {
            parts.assert_said_by(udi)?;
            assert_round_trip(udi, ParseMode::Lenient, vector.ref_year)
        }
        (Err(report), Some(_)) => Err(format!("lenient: {report}")),
        // The vectors say nothing of the lenient mode: it may accept with warnings of tolerated rules alone.
        (Ok(Parsed { warnings, .. }), None) => {
            let tolerated = |rule: &str| UdiRule::ALL.iter().any(|one| one.key() == rule && one.is_tolerated());
            let only = !warnings.is_empty() && warnings.iter().all(|issue| tolerated(&issue.rule));
            if only { Ok(()) } else { Err(format!("lenient: {warnings}")) }
        }
        (Err(_), None) => Ok(()),
    }
}

#[test]
fn published_vectors_get_the_expected_result() {
    let Some(corpus) = common::corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("udi_vectors.jsonl")).unwrap();
    let vectors: Vec<Vector> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(vectors.len() >= 202, "only {} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        assert_eq!(vector.valid, vector.reason.is_none());
        let mut texts: BTreeSet<&str> = vector.hrf.as_deref().into_iter().collect();
        texts.extend(vector.aidc.as_deref());
        let faults: Vec<String> = texts
            .iter()
            .filter_map(|text| Some(format!("{} {text:?}: {}", vector.id, check_vector(vector, text).err()?)))
            .collect();
        match EXCEPTIONS.iter().any(|(id, _)| *id == vector.id) {
            true if faults.is_empty() => wrong.push(format!("{} is no exception any more", vector.id)),
            true => {}
            false => wrong.extend(faults),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn hrf_and_aidc_of_a_vector_agree() {
    let Some(corpus) = common::corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("udi_vectors.jsonl")).unwrap();
    for line in text.lines() {
        let vector: Vector = serde_json::from_str(line).unwrap();
        let (Some(hrf), Some(aidc), true) = (&vector.hrf, &vector.aidc, vector.valid) else { continue };
        let read = |text: &str| Udi::parse(text, ParseMode::Strict, vector.ref_year).unwrap().udi;
        assert_eq!(read(hrf).to_hrf(), read(aidc).to_hrf(), "{}", vector.id);
        if let Some(compound) = vector.extra.unwrap_or_default().get("compound") {
            assert_eq!(read(aidc).elements()[0].value(), compound);
        }
        assert_eq!(Udi::parse_bytes(aidc.as_bytes(), ParseMode::Strict, vector.ref_year).unwrap().udi, read(aidc));
    }
}

/// Returns the rows of a table, with the control characters that it shows as pictures.
fn rows(table: &str) -> Vec<Vec<String>> {
    let real = |text: &str| text.replace('␝', "\u{1d}").replace('␞', "\u{1e}").replace('␄', "\u{4}").replace('␠', " ");
    table.lines().map(|line| line.split('\t').map(real).collect()).collect()
}

/// Returns the content of a carrier, in one line.
fn said(udi: &Udi) -> String {
    let day = |day: Option<Day>| {
        day.map(|day| {
            let month = if day.precision == Precision::Month { "/month" } else { "" };
            format!("{}{month}{}", day.date, day.hour.map(|hour| format!("T{hour:02}")).unwrap_or_default())
        })
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let parts = [
        ("lot", owned(udi.lot())),
        ("serial", owned(udi.serial())),
        ("manufactured", day(udi.manufactured())),
        ("expires", day(udi.expires())),
        ("donation", owned(udi.donation_id())),
        ("version", owned(udi.version())),
        ("basic", owned(udi.basic_udi_di())),
        ("master", owned(udi.master_udi_di())),
        ("quantity", udi.quantity().map(|quantity| quantity.to_string())),
    ];
    let mut line = format!("{} di={}", udi.agency(), udi.di());
    line.extend(parts.into_iter().filter_map(|(name, value)| Some(format!(" {name}={}", value?))));
    line
}

const REFUSED: &str = include_str!("data/udi/refused.tsv");
const TOLERATED: &str = include_str!("data/udi/tolerated.tsv");

#[test]
fn valid_carrier_round_trips() {
    for row in rows(include_str!("data/udi/read.tsv")) {
        let [text, wanted] = row.as_slice() else { panic!("{row:?}") };
        let read = Udi::parse(text, ParseMode::Strict, 2026).unwrap_or_else(|report| panic!("{text:?}: {report}"));
        assert_eq!(said(&read.udi), *wanted, "{text:?}");
        assert_round_trip(&read.udi, ParseMode::Strict, 2026).unwrap();
        assert_eq!(Udi::parse(text, ParseMode::Lenient, 2026), Ok(read));
    }
}

#[test]
fn first_broken_rule_is_reported() {
    for row in rows(REFUSED) {
        let [rule, text] = row.as_slice() else { panic!("{row:?}") };
        match Udi::parse(text, ParseMode::Strict, 2026) {
            Ok(read) => panic!("{text:?} is read, wanted {rule}: {:?}", read.udi),
            Err(report) => assert_eq!(report.issues()[0].rule, *rule, "{text:?}: {report}"),
        }
    }
}

#[test]
fn known_defect_is_tolerated_in_lenient_mode() {
    for row in rows(TOLERATED) {
        let [rules, text, wanted] = row.as_slice() else { panic!("{row:?}") };
        assert!(Udi::parse(text, ParseMode::Strict, 2026).is_err(), "{text:?}");
        let read = Udi::parse(text, ParseMode::Lenient, 2026).unwrap_or_else(|report| panic!("{text:?}: {report}"));
        assert_eq!(said(&read.udi), *wanted, "{text:?}");
        let warned: Vec<_> = read.warnings.iter().map(|issue| issue.rule.to_string()).collect();
        assert_eq!(warned.join(" "), *rules, "{text:?}");
        assert!(read.warnings.iter().all(|issue| issue.severity == Severity::Warning));
        assert_round_trip(&read.udi, ParseMode::Lenient, 2026).unwrap();
    }
}

#[test]
fn only_tolerated_rules_become_warnings() {
    for row in rows(REFUSED) {
        let tolerated = UdiRule::ALL.iter().any(|rule| rule.key() == row[0] && rule.is_tolerated());
        let bad_in_another_way = ["hibc-link-char"].contains(&row[0].as_str());
        let read = Udi::parse(&row[1], ParseMode::Lenient, 2026);
        if tolerated || bad_in_another_way {
            assert!(read.is_ok(), "{row:?}: {read:?}");
        } else if let Ok(Parsed { warnings, .. }) = read {
            let only_lenient = ["iccbba-gtin", "iccbba-din-letters", "ifa-gtin-alone"];
            assert!(warnings.iter().all(|issue| only_lenient.contains(&issue.rule.as_ref())), "{row:?}: {warnings}");
        }
    }
}

#[test]
fn every_rule_has_a_carrier_that_breaks_it() {
    let mut named: BTreeSet<String> =
        rows(REFUSED).into_iter().chain(rows(TOLERATED)).map(|row| row[0].clone()).collect();
    // Tested below.
    let below = ["budi-format", "budi-length", "budi-check", "udi-truncated", "udi-join", "ifa-other-di"];
    named.extend(below.map(str::to_owned));
    let all: BTreeSet<String> = UdiRule::ALL.iter().map(|rule| rule.to_string()).collect();
    assert_eq!(named, all);
    assert_eq!(all.len(), UdiRule::ALL.len());
}

#[test]
fn messages() {
    let mut shown = String::new();
    for (table, mode) in [(REFUSED, ParseMode::Strict), (TOLERATED, ParseMode::Lenient)] {
        for row in rows(table) {
            let text = &row[1];
            let report = match Udi::parse(text, mode, 2026) {
                Ok(read) => read.warnings,
                Err(report) => report,
            };
            shown += &format!("{}\n", text.escape_default());
            for issue in &report {
                assert!(!issue.message.ends_with('.') && !issue.message.contains('\n'));
                shown += &format!("    {issue}\n");
            }
        }
    }
    insta::assert_snapshot!("udi_messages", shown);
}

#[test]
fn basic_udi_di_is_parsed() {
    for (text, agency) in [
        ("1987654Ad4X4bL5ttr2310c2K", Agency::Gs1),
        ("++A999MODELIDENTIFIER11S8", Agency::Hibcc),
        ("A9990ABC123T048008", Agency::Iccbba),
        ("PP12345ABCD.12345678.9004", Agency::Ifa),
        // The check characters tell a facility from a company prefix, and from IFA's prefix.
        ("19990ABC123T048015", Agency::Iccbba),
        ("PP990ABC123T048023", Agency::Iccbba),
    ] {
        let (basic, warnings) = BasicUdiDi::parse(text, ParseMode::Strict).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!((basic.agency(), basic.as_str(), warnings.len()), (agency, text, 0));
    }
}

#[test]
fn invalid_basic_udi_di_is_refused() {
    for (rule, text) in [
        ("budi-format", ""),
        ("budi-format", "é"),
        ("budi-format", "+A999MODELIDENTIFIER11S8"),
        ("budi-format", "++1999MODEL11"),
        ("budi-format", "++A999S8"),
        ("budi-format", "1987 54Ad4X4bL5ttr2310c2K"),
        ("budi-format", "198"),
        ("budi-format", "A9990ABC123T04808"),
        ("budi-format", "O9990ABC123T048008"),
        ("budi-format", "PP1234504"),
        ("budi-format", "PP12345ab04"),
        ("budi-length", "1987654Ad4X4bL5ttr2310c2K0"),
        ("budi-length", "++A999MODELIDENTIFIER1111S8"),
        ("budi-check", "1987654Ad4X4bL5ttr2310c2L"),
        ("budi-check", "++A999MODELIDENTIFIER11S9"),
        ("budi-check", "A9990ABC123T048009"),
        ("budi-check", "PP12345ABCD.12345678.9005"),
    ] {
        let report = BasicUdiDi::parse(text, ParseMode::Strict).unwrap_err();
        assert_eq!((report.len(), report.issues()[0].rule.as_ref()), (1, rule), "{text:?}: {report}");
        let lenient = BasicUdiDi::parse(text, ParseMode::Lenient);
        assert_eq!(lenient.is_ok(), rule == "budi-check", "{text:?}");
    }
}

/// The form is checked even where the check characters are correct.
#[test]
fn basic_udi_di_agency_follows_from_its_form() {
    let pair = |body: &str| format!("{body}{}", String::from_iter(check::gs1_pair(body).unwrap()));
    let ifa = |body: &str| format!("{body}{:02}", check::ifa_digits(body));
    for text in [
        pair("1A987654Ad"),
        pair("1987"),
        pair("++A999"),
        ifa("PP12345"),
        "A9990ABC123T0480AB".to_owned(),
        "PP12345ABCD.12345678.90A4".to_owned(),
    ] {
        let report = BasicUdiDi::parse(&text, ParseMode::Strict).unwrap_err();
        assert_eq!((report.len(), report.issues()[0].rule.as_ref()), (1, "budi-format"), "{text}: {report}");
    }
    for text in [pair("19871"), pair("++A9991"), ifa("PP123451")] {
        assert_eq!(BasicUdiDi::parse(&text, ParseMode::Strict).unwrap().0.to_string(), text);
    }
}

/// A code of ICCBBA's form that begins like one of IFA, and has the check digits of neither, is one of IFA.
#[test]
fn wrong_check_digits_do_not_change_the_agency() {
    for (body, agency) in [("PP990ABC123T0480", Agency::Ifa), ("19990ABC123T0480", Agency::Gs1)] {
        let (basic, warnings) = BasicUdiDi::parse(&format!("{body}99"), ParseMode::Lenient).unwrap();
        assert_eq!((basic.agency(), warnings.issues()[0].rule.as_ref()), (agency, "budi-check"));
    }
}

#[test]
fn agency_is_found_by_short_name() {
    for agency in Agency::ALL {
        assert_eq!(Agency::from_code(agency.as_str()), Some(*agency));
    }
    assert_eq!(Agency::from_code("gs1"), None);
}

#[test]
fn carrier_prefix_alone_has_no_agency() {
    for text in ["*4711*", "[1]", "[)RS", ".4711", ".a", "]", "]d", "", "SN 4711", "A1"] {
        assert_eq!(Carrier::detect(text), None, "{text}");
    }
}

#[test]
fn carrier_has_a_form() {
    for (text, form, data) in [
        ("(01)1", CarrierForm::Hrf, "(01)1"),
        ("{01}1", CarrierForm::Hrf, "{01}1"),
        ("(9N)1", CarrierForm::Hrf, "(9N)1"),
        (".9N1", CarrierForm::Aidc, ".9N1"),
        ("[)>\u{1e}06\u{1d}", CarrierForm::Aidc, "[)>\u{1e}06\u{1d}"),
        ("\u{1d}011", CarrierForm::Aidc, "011"),
        // With a symbology identifier there is no FNC1 to be set aside.
        ("]d2\u{1d}011", CarrierForm::Aidc, "\u{1d}011"),
        ("*+A1*", CarrierForm::Either, "+A1"),
        ("*+A1", CarrierForm::Either, "+A1"),
        ("+A1*", CarrierForm::Either, "+A1*"),
        ("=/A1", CarrierForm::Either, "=/A1"),
        ("&,1A", CarrierForm::Either, "&,1A"),
    ] {
        let carrier = Carrier::detect(text).unwrap();
        assert_eq!((carrier.form(), carrier.data()), (form, data), "{text}");
    }
}

/// The element for the day alone takes precedence where both are present, in either order.
#[test]
fn day_element_wins_over_the_one_with_a_time() {
    let read = |text: &str| Udi::parse(&format!("(01)09506000134376{text}"), ParseMode::Strict, 2026).unwrap().udi;
    for (day, time) in [("(17)260430", "(7003)2604301200"), ("(11)260430", "(8008)26043012")] {
        let (one, other) = (read(&format!("{day}{time}")), read(&format!("{time}{day}")));
        assert_eq!((one.expires(), one.manufactured()), (other.expires(), other.manufactured()));
        let stated = one.expires().or(one.manufactured()).unwrap();
        assert_eq!(stated.to_string(), "2026-04-30");
        assert_ne!(read(time).expires().or(read(time).manufactured()), None);
    }
}

#[test]
fn hibc_element_is_named_by_its_flags() {
    for (secondary, id, value) in [
        ("$LOT", "$", "LOT"),
        ("$+SERIAL", "$+", "SERIAL"),
        ("$$0228LOT", "$$", "0228LOT"),
        ("$$1228LOT", "$$", "1228LOT"),
        ("$$3280229LOT", "$$3", "280229LOT"),
        ("$$+7SERIAL", "$$+7", "SERIAL"),
        ("28060LOT", "", "28060LOT"),
    ] {
        let text = with_hibc_check(format!("+A123BJC5D6E71/{secondary}"));
        let udi = Udi::parse(&text, ParseMode::Strict, 2026).unwrap().udi;
        let element = &udi.elements()[1];
        assert_eq!((element.id(), element.value()), (id, value), "{text}");
    }
}

#[test]
fn hibc_quantity_precedes_a_lot_only() {
    for quantity in ["812", "912345"] {
        let text = with_hibc_check(format!("+A123BJC5D6E71/$$+{quantity}SERIAL"));
        let report = Udi::parse(&text, ParseMode::Strict, 2026).unwrap_err();
        assert_eq!(report.issues()[0].rule, "hibc-date-field", "{text}");
    }
}

#[test]
fn hibc_date_keeps_the_hour() {
    let text = with_hibc_check("+A123BJC5D6E71/$$428022913LOT/14D20280229".to_owned());
    let udi = Udi::parse(&text, ParseMode::Strict, 2026).unwrap().udi;
    assert_eq!(udi.expires().unwrap().to_string(), "2028-02-29T13");
    let text = with_hibc_check("+A123BJC5D6E71/$LOT/14D202802291".to_owned());
    assert_eq!(Udi::parse(&text, ParseMode::Strict, 2026).unwrap_err().issues()[0].rule, "hibc-date-field");
}

/// Returns the findings of a strict read of a carrier.
fn against(text: &str) -> String {
    Udi::parse(text, ParseMode::Strict, 2026).map_or_else(|report| report.to_string(), |_| String::new())
}

#[test]
fn gs1_value_matches_its_application_identifier() {
    let of = |elements: &str| against(&format!("(01)09506000134376{elements}"));
    let pairs = (10_000_000..10_100_000).map(|number: u32| number.to_string());
    let ends = |number: &String| check::gs1_pair(number).filter(|pair| pair.iter().all(char::is_ascii_digit));
    let digits = pairs.into_iter().find_map(|number| Some(format!("{number}{}", String::from_iter(ends(&number)?))));
    for (elements, wanted) in [
        ("(4321)2", "has `2`, wanted 0 or 1"),
        ("(8003)19506000134376", "has `1`, wanted zero"),
        (&format!("(8014){}", digits.unwrap()), "wanted something other than digits"),
        ("(8001)00001234500100", "has `0000`, wanted something other than zero"),
        ("(8010)a", "has `a`, wanted characters of set 39"),
        ("(8030)a.", "has `.`, wanted characters of set 64"),
        ("(10)a^", "has `^`, wanted characters of set 82"),
        ("(30)a", "has `a`, wanted digits"),
        ("(7250)20260230", "20260230"),
    ] {
        assert!(of(elements).contains(wanted), "{elements}: {}", of(elements));
    }
    for elements in ["(4321)0", "(8010)A#-/0", "(8030)aZ0-_=", "(7250)20260228"] {
        let found = of(elements);
        assert!(!found.contains("gs1-c") && !found.contains("20260228"), "{elements}: {found}");
    }
}

#[test]
fn iccbba_repetitions_and_counts_are_checked() {
    for text in
        ["=/A9999XYZ100T0476=,000025=,000025", "=+02000=/A9999XYZ100T0476=,000025", "=/A9999XYZ100T0476=+01000=,000025"]
    {
        assert_eq!(against(text), "", "{text}");
    }
    assert!(against("=+01000=/A9999XYZ100T0476=,000025").contains("iccbba-compound-count"));
    // The blank that is tolerated stands between the structures of a blood container alone.
    assert_eq!(against("=)AAAAAAAAAA &)BBBBBBBBBB"), "");
    assert!(against("=)AAAAAAAAAA =,000025").contains("iccbba-unknown-structure"));
    // A GTIN that is tolerated has digits.
    assert!(Udi::parse("=/A9999XYZ100T04", ParseMode::Lenient, 2026).is_err());
    assert!(Udi::parse("=/09506000134376", ParseMode::Lenient, 2026).is_ok());
}

#[test]
fn ifa_quantity_is_a_number() {
    let quantity =
        |value: &str| Udi::parse(&format!("(9N)111234568408(Q){value}"), ParseMode::Strict, 2026).unwrap().udi;
    assert_eq!(quantity("123456789").quantity(), Some(123_456_789));
    for other in ["1234567890", "12A"] {
        assert_eq!(quantity(other).quantity(), None, "{other}");
        assert_eq!(quantity(other).elements()[1].value(), other);
    }
}

/// Until version 1.04 there was no packaging level, so that one character less was valid.
#[test]
fn ifa_product_code_without_level_may_be_shorter() {
    let code = |body: &str| format!("(9N){body}{:02}", check::ifa_digits(body));
    assert_eq!(against(&code("1312345A")), "");
    assert_eq!(against(&code("1312345A0")), "");
    assert!(against(&code("13123450")).contains("ifa-ppn-format"));
}

#[test]
fn display_is_the_human_readable_form() {
    let udi = Udi::parse("010950600013437610A", ParseMode::Strict, 2026).unwrap().udi;
    assert_eq!(udi.to_string(), "(01)09506000134376(10)A");
}

/// Without secondary data there is nothing that could have a link of its own.
#[test]
fn trailing_slash_is_not_a_digital_link() {
    let primaries = (0..1000).map(|number| format!("+A123{number:03}1"));
    let primary = primaries.into_iter().find(|primary| check::hibc_character(primary) == Some('/')).unwrap();
    let report = Udi::parse(&format!("{primary}/+"), ParseMode::Lenient, 2026).unwrap_err();
    assert!(report.iter().all(|issue| issue.rule != "hibc-link-char"), "{report}");
}

#[test]
fn scanner_prefix_is_removed() {
    let plain = Udi::parse("0109506000134376", ParseMode::Strict, 2026).unwrap().udi;
    for added in ["]C1", "]d2", "]Q3", "]e0", "]J1", "\u{1d}"] {
        assert_eq!(Udi::parse(&format!("{added}0109506000134376"), ParseMode::Strict, 2026).unwrap().udi, plain);
    }
    assert!(Carrier::detect("]d2").is_none());
    let report = Udi::parse_bytes(b"01\xff", ParseMode::Lenient, 2026).unwrap_err();
    assert_eq!(report.issues()[0].rule, "udi-unknown-format");
}

#[test]
fn carrier_parsing_takes_linear_time() {
    for (start, piece) in [
        ("(01)09506000134376", "(10)A"),
        ("(01)09506000134376", "(21)\\("),
        ("(01)09506000134376(10)", "("),
        ("0109506000134376", "10A\u{1d}"),
        ("0109506000134376", "3100000001"),
        ("{01}09506000134376", "{"),
        ("+A123BJC5D6E71/$L", "/S1"),
        ("+A123BJC5D6E71/$L", "/"),
        ("=/A9999XYZ100T0476", "=,000025"),
        ("=+99000", "=A99971712345600"),
        ("(9N)111234568408", "(1T)A"),
        (".9N111234568408", "^1TA"),
        ("[)>\u{1e}06\u{1d}", "9N\u{1d}"),
        ("\u{2194}01", "\u{2194}"),
    ] {
        for mode in [ParseMode::Strict, ParseMode::Lenient] {
            let texts = [4_000, 16_000].map(|count| (count, start.to_owned() + &piece.repeat(count)));
            let parse = |count| {
                let (_, text) = texts.iter().find(|(of, _)| *of == count).unwrap();
                let _ = Udi::parse(text, mode, 2026);
            };
            println!("{piece}");
            grows(parse, 4_000);
        }
    }
}

fn strict(text: &str) -> Udi {
    Udi::parse(text, ParseMode::Strict, 2026).unwrap_or_else(|report| panic!("{text:?}: {report}")).udi
}

fn second(text: &str) -> SecondarySymbol {
    SecondarySymbol::parse(text, ParseMode::Strict, 2026).unwrap_or_else(|report| panic!("{text:?}: {report}")).fragment
}

fn rule_of<T: std::fmt::Debug>(refused: Result<T, Report>) -> String {
    refused.unwrap_err().issues()[0].rule.to_string()
}

#[test]
fn secondary_symbol_joins_the_primary() {
    for (first, then, whole) in [
        ("+E260PPAUXEMO19+", "+$$8053290331260301104+$", "E260PPAUXEMO19 260301104"),
        ("(01)09506000134376", "(17)260131(10)A", "09506000134376 A"),
        ("0109506000134376", "10A\u{1d}21B", "09506000134376 A"),
        ("=/A9999XYZ100T0476", "&,1000000000000XYZ123", "A9999XYZ100T0476 000000000000XYZ123"),
        ("(9N)111234568408", "(1T)A(D)260131", "111234568408 A"),
    ] {
        let udi = second(then).join(&strict(first)).unwrap_or_else(|report| panic!("{then}: {report}"));
        assert_eq!(format!("{} {}", udi.di(), udi.lot().unwrap()), whole);
        assert_eq!(strict(&udi.to_aidc()), udi);
    }
    let fragment = second("+$$8053290331260301104+$");
    assert_eq!((fragment.quantity(), written(fragment.expires())), (Some(5), Some("2029-03-31".to_owned())));
}

#[test]
fn unrelated_symbols_are_not_joined() {
    let hibc = second("+$$8053290331260301104+$");
    assert_eq!(rule_of(hibc.join(&strict("+A123BJC5D6E71G"))), "udi-join");
    assert_eq!(rule_of(hibc.join(&strict("(01)09506000134376"))), "udi-join");
    assert_eq!(rule_of(hibc.join(&hibc.join(&strict("+E260PPAUXEMO19+")).unwrap())), "udi-join");
    assert_eq!(rule_of(second("(10)A").join(&strict("(01)09506000134376(10)B"))), "gs1-repeat-conflict");
    assert_eq!(rule_of(second("(250)X").join(&strict("(01)09506000134376"))), "gs1-requires");
    assert_eq!(rule_of(SecondarySymbol::parse("(01)09506000134376(10)A", ParseMode::Strict, 2026)), "udi-join");
    assert_eq!(rule_of(SecondarySymbol::parse("SN 4711", ParseMode::Strict, 2026)), "udi-unknown-format");
    assert_eq!(rule_of(SecondarySymbol::parse("+$$8053290331260301104+A", ParseMode::Strict, 2026)), "hibc-check-char");
    assert_eq!(rule_of(Udi::parse("+$$8053290331260301104+$", ParseMode::Strict, 2026)), "no-di");
}

#[test]
fn retail_symbol_is_a_gtin() {
    for (text, di) in [
        ("]E04012345678901", "04012345678901"),
        ("]E0036000291452", "00036000291452"),
        ("]E496385074", "00000096385074"),
    ] {
        assert_eq!(strict(text).di(), di);
    }
    for (digits, di) in [("4012345678901", "04012345678901"), ("036000291452", "00036000291452")] {
        assert_eq!(Udi::parse_gtin(digits, ParseMode::Strict).unwrap().udi.di(), di);
        assert!(
            Udi::parse(digits, ParseMode::Strict, 2026).is_err(),
            "{digits} is a GTIN where the caller says so alone"
        );
    }
    assert_eq!(rule_of(Udi::parse_gtin("4012345678902", ParseMode::Strict)), "gs1-check-digit");
    assert_eq!(rule_of(Udi::parse_gtin("401234567890", ParseMode::Strict).map(|_| ())), "gs1-check-digit");
    assert_eq!(rule_of(Udi::parse_gtin("40123", ParseMode::Lenient)), "gs1-length");
    assert_eq!(rule_of(Udi::parse_gtin("4012345678é1", ParseMode::Lenient)), "gs1-length");
}

#[test]
fn digital_link_is_read() {
    for (text, wanted) in [
        (
            "https://id.gs1.org/01/09506000134376/10/A%2FB/21/S?17=260131&utm=x",
            "(01)09506000134376(10)A/B(21)S(17)260131",
        ),
        ("https://example.com/some/path/01/9506000134376", "(01)09506000134376"),
        ("http://example.com/gtin/09506000134376/lot/A/ser/S#top", "(01)09506000134376(10)A(21)S"),
    ] {
        let carrier = Carrier::detect(text).unwrap();
        assert_eq!(carrier.form(), CarrierForm::DigitalLink);
        assert_eq!(strict(text).to_hrf(), wanted);
    }
    assert!(Carrier::detect("https://example.com/a?01=09506000134376").is_none());
    assert_eq!(rule_of(Udi::parse("https://a.example/01/09506000134377", ParseMode::Strict, 2026)), "gs1-check-digit");
    assert_eq!(rule_of(Udi::parse("https://a.example/01/09506000134376/10", ParseMode::Strict, 2026)), "gs1-no-ai");
    assert_eq!(
        rule_of(Udi::parse("https://a.example/01/09506000134376/10/%ff", ParseMode::Strict, 2026)),
        "gs1-charset"
    );
}

#[test]
fn text_around_a_carrier_is_reported() {
    let printed = "(01) 0950600 0134376\n (17) 260131 (10) AB-123 ";
    let read = Udi::parse(printed, ParseMode::Lenient, 2026).unwrap();
    assert_eq!(read.udi.to_hrf(), "(01)09506000134376(17)260131(10)AB-123");
    assert!(
        !read.warnings.is_empty() && read.warnings.iter().all(|issue| issue.rule == "udi-blank"),
        "{}",
        read.warnings
    );
    assert_eq!(rule_of(Udi::parse(" 0109506000134376", ParseMode::Strict, 2026)), "udi-blank");
    for spelled in ["<GS>", "{GS}", "<FNC1>", "[FNC1]", "^]", "\u{241d}"] {
        let read = Udi::parse(&format!("010950600013437610A{spelled}21B"), ParseMode::Lenient, 2026).unwrap();
        assert_eq!((read.udi.lot(), read.udi.serial()), (Some("A"), Some("B")), "{spelled}");
        assert_eq!(read.warnings.issues()[0].rule, "udi-spelled-separator");
    }
}

#[test]
fn truncated_identifier_is_reported() {
    for text in
        ["(01)09506000134376(10)A(2", "(01)09506000134376(10)A(", "(9N)111234568408(1T)A(16", "(9N)111234568408(1T)A(S"]
    {
        for mode in [ParseMode::Strict, ParseMode::Lenient] {
            let read = Udi::parse(text, mode, 2026).unwrap_or_else(|report| panic!("{text}: {report}"));
            assert_eq!(read.warnings.issues()[0].rule, "udi-truncated", "{text}");
        }
    }
    assert!(Udi::parse("(01)09506000134376(10)A(B)", ParseMode::Strict, 2026).unwrap().warnings.is_empty());
}

#[test]
fn facility_code_has_no_letter_o() {
    for text in ["=/AO999XYZ100T0476", "=/O9999XYZ100T0476", "=/09999XYZ100T0476"] {
        assert_eq!(rule_of(Udi::parse(text, ParseMode::Strict, 2026)), "iccbba-charset", "{text}");
    }
    let din = "=/A9999XYZ100T0476=A9O9972612345600";
    assert_eq!(rule_of(Udi::parse(din, ParseMode::Strict, 2026)), "iccbba-charset");
    let other = Udi::parse("(9N)111234568408(5D)260131", ParseMode::Strict, 2026).unwrap();
    assert_eq!(other.warnings.issues()[0].rule, "ifa-other-di");
    assert_eq!(rule_of(Udi::parse("(9N)11123456#408", ParseMode::Lenient, 2026)), "ifa-ppn-format");
}
