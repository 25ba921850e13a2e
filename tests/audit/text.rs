//! The canonical text of a record, and the texts it contains.

use super::*;
use fhir_devices::audit::{Checkpoint, read_lines};
use fhir_devices::manifest::{Note, ProviderId, UpdateName, VersionLabel};
use serde_json::Value;

/// The text of form 1. It never changes: existing chains are made of it.
const FIRST: &str = r#"{"schema":1,"tenant":"st-mary","index":0,"prev":"463946173bed94e9be91ac84c18bed91b3d5b7beae01e4a86b8196796b7ab639","recorded":"2017-04-19T12:00:00.125Z","actor":{"kind":"service","id":"gateway"},"onBehalfOf":"m.jones","ingest":"00000000000000000000000000000007","action":"attached","from":"stored","to":"attached","reason":"withdrawn","comment":"the \"old\" one\\ loses alarms ✓","device":"pump-7","component":"mds-7","before":1,"after":2,"written":2,"sha256":"BLOB","size":8,"generation":"0000000000000000000000000000feed","holder":{"retention":"rule-7","until":"2027-04-18T22:00:00Z"},"provider":"acme","update":"pump/main","version":"2.4 (build 7)","sequence":18446744073709551615,"manifest":"MANIFEST","downgrade":{"from":6,"to":5,"reason":"6 loses alarms","approvedBy":["m.jones","a.smith"],"notAfter":"2017-05-01T00:00:00Z"},"verification":{"verdict":"verified","keys":["acme-2017"]},"supersededBy":"00000000000000000000000000000008","attempts":3,"deadline":"2017-04-19T13:00:00Z"}"#;

fn first() -> String {
    record_of(full()).to_line()
}

#[test]
fn record_text_is_stable_across_releases() {
    let wanted = FIRST
        .replace("MANIFEST", &Sha256::of(b"manifest").to_string())
        .replace("BLOB", &Sha256::of(b"firmware").to_string());
    assert_eq!(first(), wanted);
    assert_eq!(AuditRecord::from_line(&wanted).unwrap().to_line(), wanted);
}

#[test]
fn absent_optional_members_are_not_written() {
    let added = ChainHead::start(tenant()).append(plain(7, None, StateName::Open), gateway());
    let json: Value = serde_json::from_str(&added.line).unwrap();
    let members: Vec<&String> = json.as_object().unwrap().keys().collect();
    let mut wanted = ["schema", "tenant", "index", "prev", "recorded", "actor", "ingest", "action", "to"];
    wanted.sort_unstable();
    assert_eq!(members, wanted);
}

#[test]
fn non_canonical_record_text_is_refused() {
    let line = first();
    for (from, to) in [
        (r#""schema":1"#, r#""schema":2"#),
        (r#""index":0"#, r#""index":0 "#),
        (r#""index":0"#, r#""index":0.0"#),
        (r#""index":0"#, r#""index":-0"#),
        (r#""index":0"#, r#""index":00"#),
        (r#""schema":1,"tenant":"st-mary""#, r#""tenant":"st-mary","schema":1"#),
        (r#""to":"attached""#, r#""to":"fine""#),
        (r#""to":"attached""#, r#""to":"attach\u0065d""#),
        (r#""kind":"service""#, r#""kind":"robot""#),
        (r#""from":"stored""#, r#""from":null"#),
        (r#""from":"stored","#, r#""from":"stored","from":"stored","#),
        (r#""action":"attached""#, r#""action":"attached","url":"x""#),
        (r#""before":1"#, r#""before":0"#),
        (r#""size":8,"#, ""),
        (r#""sha256":"#, r#""sha1":"#),
        (r#","until":"2027-04-18T22:00:00Z""#, ""),
        (r#""retention":"rule-7""#, r#""retention":"rule-7","legalHold":"case-7""#),
        ("2027-04-18T22:00:00Z", "2027-04-19T00:00:00+02:00"),
        ("12:00:00.125Z", "12:00:00.1250Z"),
        ("st-mary", "St Mary"),
        ("✓", "\u{7f}"),
        ("gateway", "https://gateway"),
        ("pump/main", "https://pump/main"),
        ("loses alarms ✓", "see https://a"),
        ("6 loses alarms", "Patient/7 died"),
    ] {
        assert!(line.contains(from), "{from}");
        assert!(AuditRecord::from_line(&line.replacen(from, to, 1)).is_err(), "{to}");
    }
    for text in ["", "{}", "[]", "null", "\u{feff}{}"] {
        assert!(AuditRecord::from_line(text).is_err(), "{text}");
    }
}

#[test]
fn unsupported_text_is_cleaned_from_a_record() {
    let (mut draft, aside) = full();
    draft.comment = Some("see https://cdn.example/a?sig=7\nof Patient/7".parse().unwrap());
    draft.provider = Some("://".parse().unwrap());
    draft.version = Some("v".repeat(200).parse().unwrap());
    draft.downgrade.as_mut().unwrap().reason = "Patient/".parse().unwrap();
    let record = record_of((draft, aside));
    assert_eq!(record.draft.comment.as_ref().unwrap(), "see https cdn.example/a?sig=7 of  7");
    assert_eq!(record.draft.provider, None);
    assert_eq!(record.draft.version.as_ref().unwrap().as_str(), "v".repeat(128));
    assert_eq!(record.draft.downgrade.as_ref().unwrap().reason, "-");
    assert_eq!(AuditRecord::from_line(&record.to_line()), Ok(record));
}

#[test]
fn export_error_names_the_line() {
    let (records, _) = chained([plain(7, None, StateName::Open), full().0]);
    let mut text: String = records.iter().map(|record| record.to_line() + "\n").collect();
    let read: Result<Vec<_>, _> = read_lines(&text).map(|(_, read)| read).collect();
    assert_eq!(read.unwrap(), records);
    text.push_str("\n{}\n");
    let bad: Vec<usize> = read_lines(&text).filter(|(_, read)| read.is_err()).map(|(number, _)| number).collect();
    assert_eq!(bad, [3]);
}

#[test]
fn checkpoint_text_is_canonical() {
    let checkpoint = chained([full().0]).1.checkpoint();
    let bytes = checkpoint.to_bytes();
    let wanted = format!(r#"{{"tenant":"st-mary","count":1,"root":"{}"}}"#, checkpoint.root);
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), wanted);
    assert_eq!(Checkpoint::from_bytes(&bytes), Ok(checkpoint.clone()));
    for other in [wanted.replace(":1,", ": 1,"), wanted.replace('}', ",\"a\":1}"), String::new()] {
        assert!(Checkpoint::from_bytes(other.as_bytes()).is_err(), "{other}");
    }
    let shouted = wanted.replace(&checkpoint.root.to_string(), &checkpoint.root.to_string().to_uppercase());
    assert!(Checkpoint::from_bytes(shouted.as_bytes()).is_err());
}

#[test]
fn invalid_text_in_a_record_has_a_message() {
    let refusals = [
        Note::new("").unwrap_err(),
        Note::new(" a").unwrap_err(),
        Note::new("a\nb").unwrap_err(),
        Note::new("https://cdn.example/a?sig=7").unwrap_err(),
        Note::new("Patient/7").unwrap_err(),
        Note::new("a".repeat(1_001)).unwrap_err(),
        VersionLabel::new("a".repeat(129)).unwrap_err(),
        ProviderId::new("\u{2028}a").unwrap_err(),
    ];
    let long = "a".repeat(64);
    let wanted = [
        "`` is not a note: at least one character is wanted".to_owned(),
        "` a` is not a note: no white space is wanted around it".to_owned(),
        "`a\nb` is not a note: no control characters are wanted".to_owned(),
        "`https://cdn.example/a?sig=7` is not a note: no address is wanted".to_owned(),
        "`Patient/7` is not a note: no reference to a patient is wanted".to_owned(),
        format!("`{long}…` is not a note: at most 1,000 characters are wanted"),
        format!("`{long}…` is not a version: at most 128 characters are wanted"),
        "`\u{2028}a` is not a provider: no white space is wanted around it".to_owned(),
    ];
    assert_eq!(refusals.map(|refusal| refusal.to_string()), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_record_round_trips(record in records()) {
        let line = record.to_line();
        prop_assert_eq!(AuditRecord::from_line(&line), Ok(record));
        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
    }

    #[test]
    fn records_hold_no_address_or_patient(record in records()) {
        let line = record.to_line();
        // However a reader may have escaped them.
        let mut open = vec![serde_json::from_str::<Value>(&line).unwrap()];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => prop_assert!(!text.contains("://") && !text.contains("Patient/"), "{text}"),
                Value::Array(items) => open.extend(items),
                Value::Object(members) => open.extend(members.into_iter().map(|(_, value)| value)),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    #[test]
    fn changed_character_changes_the_digest_or_fails(record in records(), at in any::<prop::sample::Index>(), to in "[ -~]") {
        let line = record.to_line();
        let places: Vec<usize> = line.char_indices().map(|(place, _)| place).collect();
        let place = places[at.index(places.len())];
        let mut other = line.clone();
        let end = place + line[place..].chars().next().unwrap().len_utf8();
        other.replace_range(place..end, &to);
        if other != line && let Ok(read) = AuditRecord::from_line(&other) {
            prop_assert_ne!(&read, &record);
            prop_assert_ne!(read.digest(), record.digest());
        }
    }

    #[test]
    fn note_about_any_text_is_valid(text in prop_oneof!["\\PC{0,40}", ".{0,40}", "(Pat|ient/|://|:|/| ){0,9}"]) {
        if let Some(note) = Note::about(&text) {
            prop_assert!(Note::new(note.as_str()).is_ok());
        }
        if let Ok(note) = Note::new(&text) {
            prop_assert_eq!(Note::about(&text), Some(note));
        }
    }

    #[test]
    fn record_texts_refuse_addresses(text in prop_oneof![".{0,20}", "[a-z]{0,4}://[a-z]{0,4}"]) {
        let address = text.contains("://");
        prop_assert!(!address || Note::new(&text).is_err());
        prop_assert!(!address || UpdateName::new(&text).is_err());
        prop_assert!(!address || VersionLabel::new(&text).is_err());
        prop_assert!(!address || ActorId::new(&text).is_err());
    }
}
