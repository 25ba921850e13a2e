//! The documentation for users: the results of its examples, and the number of lines of an everyday task.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};

/// An example in the documentation: its position, its attributes, its lines, and its visible lines.
struct Example {
    file: String,
    line: usize,
    attributes: String,
    lines: Vec<String>,
}

impl Example {
    fn text(&self) -> String {
        self.lines.join("\n")
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Returns whether the example is compiled as Rust and run.
    fn is_run(&self) -> bool {
        self.attributes.is_empty() || self.attributes == "should_panic"
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root().join("src")], vec![root().join("README.md")]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for path in sources() {
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        let mut within: Option<Example> = None;
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let line = line.trim_start();
            // In the README every line is documentation; a line of code ends an example of a source.
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            let Some(text) =
                doc.map(|text| text.strip_prefix(' ').unwrap_or(text)).or((file == "README.md").then_some(line))
            else {
                within = None;
                continue;
            };
            match (text.trim_start().strip_prefix("```"), &mut within) {
                (Some(_), Some(_)) => examples.extend(within.take()),
                (Some(attributes), None) => {
                    let attributes = attributes.trim().to_owned();
                    within = Some(Example { file: file.clone(), line: number + 1, attributes, lines: Vec::new() });
                }
                (None, Some(example)) => example.lines.push(text.to_owned()),
                (None, None) => {}
            }
        }
    }
    assert!(examples.len() > 500, "{} examples were found", examples.len());
    examples
}

#[test]
fn examples_read_a_value_by_one_call() {
    for example in examples() {
        let text: String = example.text().split_whitespace().collect();
        for chain in ["unwrap().value", ".value.unwrap()", ".value.as_ref().unwrap()", "unwrap().get().unwrap()"] {
            assert!(!text.contains(chain), "{}: `{chain}`", example.place());
        }
    }
}

/// An example that only declares a function, without a call, shows nothing.
#[test]
fn examples_show_a_result() {
    let mut bare = Vec::new();
    for example in examples().into_iter().filter(Example::is_run) {
        let text = example.text();
        for line in &example.lines {
            let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) else { continue };
            let is_used = text.matches(name).count() > 1 && !text.contains(&format!("let _ = {name};"));
            if name != "main" && !is_used {
                bare.push(format!("{}: nobody calls `{name}`", example.place()));
            }
        }
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

/// Returns the number of lines that a user has to write: without imports, empty lines, hidden lines and assertions.
fn written(example: &Example) -> usize {
    let mut count = 0;
    let mut in_assertion = false;
    for line in &example.lines {
        let line = line.trim();
        in_assertion |= line.starts_with("assert");
        let is_counted = !in_assertion
            && !line.is_empty()
            && !line.starts_with("use ")
            && !line.starts_with("//")
            && line != "#"
            && !line.starts_with("# ");
        count += usize::from(is_counted);
        in_assertion &= !line.ends_with(';');
    }
    count
}

#[test]
fn everyday_tasks_take_few_lines() {
    let page = std::fs::read_to_string(root().join("src/manual/everyday.rs")).unwrap();
    let examples: Vec<Example> =
        examples().into_iter().filter(|example| example.file == "src/manual/everyday.rs").collect();
    for (task, most) in [
        ("Read the software revision of a component", 1),
        ("Set the software revision of a component", 3),
        ("Build a metric with unit, period and calibration", 10),
        ("Store every entry of a Bundle", 1),
    ] {
        let heading = page.lines().position(|line| line == format!("//! # {task}")).unwrap_or_else(|| panic!("{task}"));
        let example = examples.iter().find(|example| example.line > heading).unwrap();
        let lines = written(example);
        assert!((1..=most).contains(&lines), "{task}: {lines} lines, wanted 1 to {most}");
    }
}

#[test]
fn written_lines_leave_out_imports_and_assertions() {
    let lines =
        ["use a::b;", "let a = b", "    .c();", "", "# let d = e;", "assert_eq!(", "    a,", "    b,", ");", "f();"];
    let lines = lines.map(str::to_owned).to_vec();
    assert_eq!(written(&Example { file: String::new(), line: 1, attributes: String::new(), lines }), 3);
}

/// Public structs with only public fields that are not `#[non_exhaustive]`: they cannot get another field, or code that
/// destructures them must notice a new one.
const CLOSED: &[(&str, &[&str])] = &[
    (
        "what a store takes and gives: a backend that takes one apart must see a new field",
        &["BlobInfo", "BlobKey", "BlobRead", "BlobRef", "Change", "LedgerRecord", "Page", "Search", "Version", "Write"],
    ),
    (
        "a value with the parts that its standard or its name gives it",
        &[
            "Actor",
            "Bounds",
            "Checkpoint",
            "EffectKey",
            "IdentifierQuery",
            "Malformed",
            "OfferKey",
            "Position",
            "Primitive",
            "Rate",
            "Signature",
            "Slot",
            "Token",
            "UpdateIdentity",
            "Verification",
            "WrappedKey",
        ],
    ),
    (
        "a member of a signed manifest, whose format has a number",
        &["Acceptance", "Artifact", "CompatibilityRule", "DowngradeAuthorization", "Requirement"],
    ),
    (
        "the facts of one message",
        &[
            "AdmissionReason",
            "Candidate",
            "InvalidText",
            "LowerVersion",
            "NotAnUpdate",
            "NotEveryLane",
            "NotHigher",
            "NotLowered",
            "Unfit",
            "UnfitEvent",
            "Unsequenced",
            "VersionTaken",
        ],
    ),
    (
        "a state of a machine, or an input of one: whoever steps it must see a new field",
        &[
            "Allowance",
            "Base",
            "Context",
            "Counts",
            "DeviceOffers",
            "Entry",
            "Intent",
            "LaneHead",
            "LaneSeal",
            "Limits",
            "Lock",
            "Planned",
            "Request",
            "Rollout",
            "Standing",
            "Target",
            "VersionClaim",
            "VersionDowngrade",
        ],
    ),
    ("a composition of two things of the caller", &["LocalThenRemote", "Stores"]),
    ("a test's own record", &["Acknowledged", "CallPlan", "Clause", "Recorded"]),
];

#[test]
fn public_records_may_grow_or_say_why_not() {
    let known: Vec<&str> = CLOSED.iter().flat_map(|(_, names)| *names).copied().collect();
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for path in sources() {
        let source = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) else {
                continue;
            };
            let name = name.split('<').next().unwrap();
            let body = lines.iter().skip(at + 1).take_while(|line| !line.starts_with('}'));
            let fields: Vec<&&str> = body
                .filter(|line| line.starts_with("    ") && !line.starts_with("     ") && line.contains(": "))
                .filter(|line| !line.trim_start().starts_with("//") && !line.trim_start().starts_with('#'))
                .collect();
            let is_record = !fields.is_empty() && fields.iter().all(|line| line.starts_with("    pub "));
            let above = lines.iter().take(at).rev().take_while(|line| !line.is_empty());
            let may_grow = above.clone().any(|line| *line == "#[non_exhaustive]");
            if is_record && !may_grow {
                seen.push(name.to_owned());
                if !known.contains(&name) {
                    open.push(format!("{}:{}: {name}", path.strip_prefix(root()).unwrap().display(), at + 1));
                }
            }
        }
    }
    assert!(open.is_empty(), "neither `#[non_exhaustive]` nor closed with a reason here:\n{}", open.join("\n"));
    let gone: Vec<_> = known.iter().filter(|name| !seen.iter().any(|seen| seen == *name)).collect();
    assert!(gone.is_empty(), "closed here, and no such record any more: {gone:?}");
}

/// The files in commands of the README are in the package, or made by an earlier line. Keys and tokens are the
/// operator's own.
#[test]
fn readme_commands_find_their_files() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (mut made, mut read) = (Vec::new(), 0);
    for block in readme.split("```sh\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let mut words = line.split_whitespace().peekable();
            while let Some(word) = words.next() {
                if word == ">" {
                    made.extend(words.next());
                    continue;
                }
                let file = word.rsplit_once("=@").map_or(word, |(_, file)| file);
                if [".json", ".ndjson", ".bin"].iter().any(|ending| file.ends_with(ending)) {
                    assert!(made.contains(&file) || root().join(file).is_file(), "{line}: there is no `{file}`");
                    read += 1;
                }
            }
        }
    }
    assert!(read > 5, "{read} files are read");
}

/// The first line of an item's documentation says what the item is or does. None of these words is a subject or a verb
/// for that.
#[test]
fn first_lines_name_their_subject() {
    let banned = ["It", "They", "Who", "Who.", "Whom", "Whose", "Whose.", "What.", "Told", "Nobody", "Does"];
    let mut found = Vec::new();
    for path in sources() {
        let source = std::fs::read_to_string(&path).unwrap();
        let mut within = false;
        for (number, line) in source.lines().enumerate() {
            let text = line.trim_start().strip_prefix("///");
            if let Some(text) = text.filter(|_| !within) {
                let word = text.split_whitespace().next().unwrap_or_default();
                // A clause of a contract is a sentence, and begins as it likes.
                if banned.contains(&word) && !path.to_string_lossy().contains("testkit") {
                    let file = path.strip_prefix(root()).unwrap().display();
                    found.push(format!("{file}:{}:{text}", number + 1));
                }
            }
            within = text.is_some();
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
