//! Every example has `--help`, and handles a closed output.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "common/example.rs"]
mod example;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The arguments with which an example prints something; those of the services make it print its address.
fn arguments(example: &str) -> Option<&'static [&'static str]> {
    Some(match example {
        "containment_tree" | "roundtrip" | "validate" => &["examples/data/monitor.json"],
        "convert" => &["--to", "r4", "examples/data/monitor.json"],
        "implement_a_store" | "ingest_story" | "read_a_device" | "rollout_story" => &[],
        "parse_udi" => &["(01)09504000059118(17)141120(10)7654321D"],
        // They go on until they are stopped.
        "mount_in_axum" | "update_service" => return None,
        other => panic!("the example {other} is not known here"),
    })
}

/// Returns the examples for which this build has the features.
fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_example = path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").is_file();
        if is_example {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.retain(|name| cfg!(feature = "server") || arguments(name).is_some());
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

#[test]
fn help_shows_the_usage() {
    for name in examples() {
        let binary = example::build(&name);
        for option in ["--help", "-h"] {
            let output = Command::new(&binary).arg(option).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{name} {option}: {}", output.status);
            assert!(printed.starts_with(&format!("usage: {name}")), "{name} {option}: {printed}");
            assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{name} {option}");
        }
        let refused = Command::new(&binary).arg("--no-such-option").stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains("--no-such-option"), "{name}: {said}");
    }
}

#[test]
fn closed_pipe_ends_an_example_quietly() {
    for name in examples() {
        let binary = example::build(&name);
        for arguments in [Some(&["--help"][..]), arguments(&name)].into_iter().flatten() {
            let mut command = Command::new(&binary);
            command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
            assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{name} {arguments:?}: {said}");
        }
    }
}

/// Returns an example's output for a document on its standard input.
fn said(example: &str, arguments: &[&str], document: &str) -> String {
    let output = run(example, arguments, document);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{example} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn run(example: &str, arguments: &[&str], document: &str) -> Output {
    use std::io::Write as _;
    let mut command = Command::new(example::build(example));
    command.args(arguments).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Returns the options in a text, each after the given prefix.
#[cfg(feature = "server")]
fn options<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter(|rest| rest.starts_with("--")).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        rest.split_at(end).0
    })
}

#[cfg(feature = "server")]
#[test]
fn manual_and_help_have_the_same_options_and_limits() {
    let output = Command::new(example::build("update_service")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let known: Vec<&str> = options(&help, "\n  ").collect();
    assert!(known.len() > 40, "{known:?}");
    let (mut manual, mut limits) = (String::new(), String::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        manual.push_str(&text);
        if ["bounds", "operating"].iter().any(|page| path.file_stem().is_some_and(|stem| stem == *page)) {
            limits.push_str(&text);
        }
    }
    for option in options(&manual, "`") {
        assert!(known.contains(&option), "`{option}` of the manual is no option");
    }
    // An option that has a number by default is a limit.
    let parts: Vec<&str> = help.split("\n  --").skip(1).collect();
    let numbered = parts.iter().filter(|part| {
        let default = part.split("(default").nth(1).unwrap_or_default().trim_start_matches([' ', ':']);
        default.starts_with(|c: char| c.is_ascii_digit()) || default.starts_with("half")
    });
    let mut count = 0;
    for part in numbered {
        let name = part.split([' ', '\n']).next().unwrap_or_default();
        assert!(limits.contains(&format!("`--{name}")), "the limit `--{name}` is not in the manual");
        count += 1;
    }
    assert!(count >= 18, "{count}");
}

#[test]
fn convert_answers_broken_lines_in_their_places() {
    let component = r#"{"resourceType":"DeviceComponent","id":"c","identifier":{"value":"1"},"type":{"text":"t"}}"#;
    let deep = format!(
        r#"{{"resourceType":"Device","extension":{}"#,
        r#"[{"url":"http://a.example","extension":"#.repeat(5_000)
    );
    let lost = component.replace("}}", r#"},"productionSpecification":[{"modifierExtension":[{"url":"http://a.example","valueBoolean":true}],"specType":{"text":"a"}}]}"#);
    // Each line, and the rule of the first finding where it cannot be converted.
    let lines: [(&[u8], Option<&str>); 12] = [
        (br#"{"resourceType":"Device","id":"a","model":"P9"}"#, None),
        (br#"{"resourceType":"#, Some("resource-type")),
        (br#"[]"#, Some("wrong-type")),
        (b"\xff\xfe", Some("json")),
        (br#"{"resourceType":"Device","id":"b"}{"resourceType":"Device","id":"c"}"#, Some("json")),
        (b"\"\"", Some("wrong-type")),
        (br#"{"resourceType":"Patient","id":"p"}"#, Some("unconverted")),
        (deep.as_bytes(), Some("json-depth")),
        (br#"{"resourceType":"Device","id":"\ud800"}"#, Some("json")),
        (lost.as_bytes(), Some("lost")),
        (br#"{"resourceType":"Device","id":"d","status":"gone"}"#, Some("required-binding")),
        (component.as_bytes(), None),
    ];
    // Blank lines and the ends of lines of another system do not count, nor whether the last line has an end.
    let document: Vec<u8> = lines.iter().flat_map(|(line, _)| [line, &b"\r\n  \n"[..]].concat()).collect();
    for (document, to) in [(&document[..], "r4"), (&document[..document.len() - 5], "r5")] {
        let folder = std::env::temp_dir().join(format!("fhir-devices-broken-{to}-{}", std::process::id()));
        std::fs::write(&folder, document).unwrap();
        let output =
            Command::new(example::build("convert")).args(["--to", to, "--ndjson"]).arg(&folder).output().unwrap();
        std::fs::remove_file(folder).unwrap();
        let (printed, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(printed.lines().count(), lines.len(), "{printed}");
        for ((line, rule), answer) in lines.iter().zip(printed.lines()) {
            let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
            let found = answer.starts_with(r#"{"resourceType":"OperationOutcome""#);
            assert_eq!(found, rule.is_some(), "{shown}: {answer}");
            let has_rule = rule.is_none_or(|rule| answer.contains(&format!(r#""code":"{rule}""#)));
            assert!(has_rule, "{shown}: {answer}");
        }
        // One outcome for each document that was converted.
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.lines().all(|line| line.starts_with(r#"{"resourceType":"OperationOutcome""#)), "{said}");
    }
}

#[test]
fn validate_prints_findings_as_text() {
    let refused = run("validate", &["--text"], r#"{"resourceType":"Device","status":"gone"}"#);
    let text = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.starts_with("error required-binding at Device.status"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(said("validate", &["--text"], r#"{"resourceType":"Device"}"#), "no finding\n");
}

#[cfg(feature = "xml")]
#[test]
fn examples_take_documents_in_xml() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/monitor.json");
    let json = std::fs::read_to_string(file).unwrap();
    let resource = fhir_devices::Resource::from_json(json.as_bytes()).unwrap();
    let xml = resource.to_xml().unwrap();
    // A byte order mark, a declaration and a comment come before it.
    let marked = format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a monitor -->\n{xml}");
    for document in [&xml, &marked] {
        assert_eq!(said("roundtrip", &[], document).trim_end(), xml);
        assert_eq!(said("roundtrip", &["--to", "json"], document).trim_end(), resource.to_json());
        assert!(said("validate", &[], document).contains(r#""severity":"information""#));
        for (example, arguments) in [
            ("containment_tree", &[][..]),
            ("containment_tree", &["--json"]),
            ("convert", &["--to", "r4"]),
            ("convert", &["--to", "r5"]),
        ] {
            assert_eq!(said(example, arguments, document), said(example, arguments, &json), "{example} {arguments:?}");
        }
    }
    assert_eq!(said("roundtrip", &["--to", "xml"], &json).trim_end(), xml);
    // Whatever is wrong has its place in the XML.
    let wrong = xml.replacen("<Bundle xmlns", "<!DOCTYPE Bundle><Bundle xmlns", 1);
    let output = Command::new(example::build("validate")).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = output.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), wrong.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("xml-doctype"));
}

#[test]
fn rollout_story_is_the_same_each_time() {
    let told = Command::new(example::build("rollout_story")).output().unwrap();
    insta::assert_snapshot!("rollout_story", String::from_utf8(told.stdout).unwrap());
}
