//! Every example says what it does, and bears it that nobody reads what it prints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "common/example.rs"]
mod example;

use std::path::Path;
use std::process::{Command, Stdio};

/// The arguments with which an example prints something; those of the services make it say where it listens.
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

/// The names of the examples that this build has the features for.
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
