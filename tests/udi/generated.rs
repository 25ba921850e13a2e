//! Generated carriers, and carriers with a character changed.

use super::*;
use proptest::prelude::*;

/// `YYMMDD` of a day that exists in every month.
fn yymmdd() -> impl Strategy<Value = (u32, String)> {
    (0_u32..100, 1_u32..13, 1_u32..29).prop_map(|(year, month, day)| (year, format!("{year:02}{month:02}{day:02}")))
}

/// A GTIN with its check digit.
fn gtin() -> impl Strategy<Value = String> {
    "[0-9]{13}".prop_map(|digits| format!("{digits}{}", check::gs1_digit(&digits).unwrap()))
}

/// A GS1 element with a value in its format: the identifier, the value, whether FNC1 follows.
fn gs1_element() -> impl Strategy<Value = (&'static str, String, bool)> {
    let set82 = |most| prop::collection::vec(prop::sample::select(SET82.chars().collect::<Vec<_>>()), 1..=most);
    let text = |ai: &'static str, most| set82(most).prop_map(move |text| (ai, String::from_iter(text), true));
    prop_oneof![
        text("10", 20),
        text("21", 20),
        text("240", 30),
        text("8012", 20),
        text("91", 90),
        "\\(?\\(1[07]\\)\\(?21[)]?[()]{0,3}".prop_map(|text| ("10", text, true)),
        yymmdd().prop_map(|(_, date)| ("17", date, false)),
        yymmdd().prop_map(|(_, date)| ("11", date, false)),
        yymmdd().prop_map(|(_, date)| ("7003", format!("{date}2359"), true)),
        "[0-9]{1,8}".prop_map(|digits| ("30", digits, true)),
        "[0-9]{6}".prop_map(|digits| ("3103", digits, false)),
        "[0-9]{4}[!-9A-Za-z_]{1,18}".prop_filter_map("set 82", |model| {
            Some(("8013", format!("{model}{}", String::from_iter(check::gs1_pair(&model)?)), true))
        }),
    ]
}

const SET82: &str = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// A GS1 string in machine form, with its elements in any order, each once.
fn gs1() -> impl Strategy<Value = String> {
    (gtin(), prop::collection::vec(gs1_element(), 0..6)).prop_flat_map(|(gtin, mut elements)| {
        elements.push(("01", gtin, false));
        elements.sort();
        elements.dedup_by_key(|element| element.0);
        Just(elements).prop_shuffle().prop_map(|elements| {
            let last = elements.len() - 1;
            let write = |(index, (ai, value, fnc1)): (usize, &(&str, String, bool))| {
                format!("{ai}{value}{}", if *fnc1 && index < last { "\u{1d}" } else { "" })
            };
            elements.iter().enumerate().map(write).collect()
        })
    })
}

pub(crate) fn with_hibc_check(body: String) -> String {
    let check = check::hibc_character(&body).unwrap();
    format!("{body}{check}")
}

fn hibcc() -> impl Strategy<Value = String> {
    let name = "[A-Z0-9.-]{1,18}";
    let date = prop_oneof![
        Just("7".to_owned()),
        yymmdd().prop_map(|(_, date)| format!("3{date}")),
        yymmdd().prop_map(|(_, date)| format!("2{}{}", &date[2..], &date[..2])),
        yymmdd().prop_map(|(_, date)| format!("4{date}23")),
        yymmdd().prop_map(|(_, date)| format!("{}{}", &date[2..4], &date[..2])),
        "5[0-9]{2}[12][0-9]{2}",
        "6[0-9]{2}[12][0-9]{2}0[0-9]",
    ];
    let date = date.boxed();
    let secondary = prop_oneof![
        Just(String::new()),
        name.prop_map(|lot| format!("/${lot}")),
        name.prop_map(|serial| format!("/$+{serial}")),
        (date.clone(), name).prop_map(|(date, lot)| format!("/$${date}{lot}")),
        (date.clone(), name).prop_map(|(date, serial)| format!("/$$+{date}{serial}")),
        ("(8[0-9]{2}|9[0-9]{5})", date, name).prop_map(|(quantity, date, lot)| format!("/$${quantity}{date}{lot}")),
        ("[0-9]{2}[12][0-9]{2}", name).prop_map(|(date, lot)| format!("/{date}{lot}")),
    ];
    let supplement = prop_oneof![Just(String::new()), yymmdd().prop_map(|(_, date)| format!("/16D20{date}"))];
    ("[A-Z][A-Z0-9]{3}[A-Z0-9]{1,18}[0-9]", secondary, supplement).prop_map(|(primary, secondary, supplement)| {
        let supplement = if secondary.is_empty() { String::new() } else { supplement };
        with_hibc_check(format!("+{primary}{secondary}{supplement}"))
    })
}

fn iccbba() -> impl Strategy<Value = String> {
    let din = "[A-NP-Z1-9][A-NP-Z0-9]{4}[0-9]{8}".prop_map(|din| {
        let flags = 60 + check::iso7064_mod37_2(&din).unwrap();
        format!("={din}{flags}")
    });
    let part = prop_oneof![
        "=,[A-Z0-9]{6}",
        "=>[019][0-9]{2}[12][0-9]{2}",
        "=\\}0[0-9]{2}0[1-9]{2}",
        "&,1[A-Z0-9]{18}",
        "=\\*0[0-9]{2}0[1-9]{2}",
        din
    ];
    ("=/[A-NP-Z1-9][A-NP-Z0-9]{4}[A-Z0-9]{11}", prop::collection::vec(part, 0..6)).prop_map(|(product, mut parts)| {
        let id = |part: &str| part[..2].replace(|c: char| c.is_ascii_alphanumeric(), "");
        parts.sort_by_key(|part| id(part));
        parts.dedup_by_key(|part| id(part));
        product + &parts.concat()
    })
}

/// A number of IFA with its check digits.
fn ifa_number() -> impl Strategy<Value = String> {
    let pzn =
        "[0-9]{7}".prop_filter_map("given out", |digits| Some(format!("11{digits}{}", check::pzn_digit(&digits)?)));
    let body = prop_oneof![pzn, "13[A-Z0-9]{5}[A-Z0-9.-]{1,18}[0-8]", "(12|14|24)[A-Z0-9.-]{1,20}"];
    body.prop_map(|body| format!("{body}{:02}", check::ifa_digits(&body)))
}

fn ifa() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "1T[!-\\[\\]-~]{1,20}",
        "S\\(?\\(1T\\)\\(?S[)]?[()]{0,3}",
        "33L[ -\\[\\]-~]{1,40}",
        "Q[0-9]{1,5}",
        yymmdd().prop_map(|(_, date)| format!("D{date}")),
        yymmdd().prop_map(|(_, date)| format!("16D20{date}")),
    ];
    (ifa_number(), prop::collection::vec(part, 0..6)).prop_flat_map(|(number, mut parts)| {
        parts.push(format!("9N{number}"));
        parts.sort();
        let id = |part: &str| part.chars().take(part.find(char::is_alphabetic).unwrap() + 1).collect::<String>();
        parts.dedup_by_key(|part| id(part));
        let write = |parts: Vec<String>| format!("[)>\u{1e}06\u{1d}{}\u{1e}\u{4}", parts.join("\u{1d}"));
        Just(parts).prop_shuffle().prop_map(write)
    })
}

/// A text that begins like a carrier.
fn almost() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "",
        "(",
        "(01)",
        "{01}",
        "01",
        "\u{1d}",
        "]d2",
        "]",
        "\u{2194}",
        "+",
        "*+",
        "++",
        "+A1231",
        "+A1231/$$",
        "=/",
        "=",
        "=+",
        "&,1",
        "=)",
        "[)>\u{1e}06\u{1d}",
        "[)>",
        ".9N",
        "(9N)",
        "(9N)11",
        "(9N)13",
        "(9N)MA",
        "(8P)",
        "PP",
    ]);
    (
        start,
        "[()0-9A-FNST+=/&,$*.^{}\\[\\]>%_ é↔\\\\\u{1d}\u{1e}\u{4}]{0,40}",
        prop::sample::select(vec!["", "*", "\u{1e}\u{4}"]),
    )
        .prop_map(|(start, text, end)| format!("{start}{text}{end}"))
}

/// A carrier of any agency.
fn carrier() -> impl Strategy<Value = String> {
    prop_oneof![gs1(), hibcc(), iccbba(), ifa()]
}

/// Returns the text with one character replaced.
fn changed(text: &str, at: usize, with: char) -> String {
    text.chars().enumerate().map(|(index, c)| if index == at { with } else { c }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn carrier_parser_never_panics(text in prop_oneof![any::<String>(), almost()], year in any::<u16>()) {
        for mode in [ParseMode::Strict, ParseMode::Lenient] {
            let _ = BasicUdiDi::parse(&text, mode);
            if let Ok(read) = Udi::parse(&text, mode, year) {
                prop_assert!(!read.udi.di().is_empty());
                prop_assert_eq!(read.warnings.has_errors(), false);
                prop_assert_eq!(assert_round_trip(&read.udi, mode, year), Ok(()));
            }
        }
    }

    #[test]
    fn changed_carrier_is_refused_or_round_trips(
        text in carrier(), at in any::<prop::sample::Index>(), with in any::<char>(),
    ) {
        let text = changed(&text, at.index(text.chars().count()), with);
        for mode in [ParseMode::Strict, ParseMode::Lenient] {
            if let Ok(read) = Udi::parse(&text, mode, 2026) {
                prop_assert_eq!(assert_round_trip(&read.udi, mode, 2026), Ok(()));
            }
        }
    }

    #[test]
    fn generated_carriers_round_trip(text in carrier()) {
        let read = Udi::parse(&text, ParseMode::Strict, 2026);
        let udi = match read {
            Ok(read) => read.udi,
            Err(report) => return Err(TestCaseError::fail(format!("{text:?}: {report}"))),
        };
        prop_assert_eq!(udi.to_aidc(), text);
        prop_assert_eq!(assert_round_trip(&udi, ParseMode::Strict, 2026), Ok(()));
    }

    #[test]
    fn changed_gtin_digit_is_found(gtin in gtin(), at in 0_usize..14, by in 1_u8..10) {
        let old = gtin.as_bytes()[at] - b'0';
        let text = changed(&gtin, at, char::from(b'0' + (old + by) % 10));
        let report = Udi::parse(&format!("(01){text}"), ParseMode::Strict, 2026).unwrap_err();
        prop_assert_eq!(report.issues()[0].rule.as_ref(), "gs1-check-digit");
        let lenient = Udi::parse(&format!("(01){text}"), ParseMode::Lenient, 2026);
        prop_assert!(lenient.is_ok());
    }

    #[test]
    fn changed_hibc_character_is_found(text in hibcc(), at in any::<prop::sample::Index>(), with in "[0-9A-Z. $/+%-]") {
        let changed = changed(&text, 1 + at.index(text.len() - 1), with.chars().next().unwrap());
        prop_assert_eq!(Udi::parse(&changed, ParseMode::Strict, 2026).is_ok(), changed == text);
    }

    #[test]
    fn changed_ifa_character_is_found(
        number in ifa_number(), at in any::<prop::sample::Index>(), with in "[0-9A-Z.-]",
    ) {
        let changed = changed(&number, at.index(number.len()), with.chars().next().unwrap());
        prop_assert_eq!(Udi::parse(&format!("(9N){changed}"), ParseMode::Strict, 2026).is_ok(), changed == number);
    }

    #[test]
    fn changed_basic_udi_di_character_is_found(
        model in "[0-9]{4}[A-Za-z0-9_+]{1,19}", at in any::<prop::sample::Index>(), with in "[0-9A-Za-z!-/]",
    ) {
        let text = format!("{model}{}", String::from_iter(check::gs1_pair(&model).unwrap()));
        let (basic, _) = BasicUdiDi::parse(&text, ParseMode::Strict).unwrap();
        prop_assert_eq!(basic.as_str(), &text);
        let with = with.chars().next().unwrap();
        let changed = changed(&text, 1 + at.index(text.len() - 1), with);
        prop_assert_eq!(BasicUdiDi::parse(&changed, ParseMode::Strict).is_ok(), changed == text);
    }
}
