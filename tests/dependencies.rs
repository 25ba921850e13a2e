//! A build without features has none of the dependencies of the features.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Returns cargo's output for this package.
fn cargo(arguments: &[&str]) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments).args(["--offline", "--manifest-path", manifest]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the packages of the default build, by name, to a depth.
fn default_build(depth: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--depth", depth]);
    tree.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

/// Returns the dependencies that only features need.
fn optional() -> BTreeSet<String> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let dependencies = metadata["packages"][0]["dependencies"].as_array().unwrap();
    let optional = dependencies.iter().filter(|dependency| dependency["optional"] == true);
    optional.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn default_build_has_no_feature_dependencies() {
    // Some are brought by what the default build needs itself.
    let (default, optional) = (default_build("1"), optional());
    for engine in ["azure_data_cosmos", "object_store", "redb", "reqwest", "tokio-postgres"] {
        assert!(optional.contains(engine), "`{engine}` is no optional dependency");
    }
    let brought: Vec<_> = optional.intersection(&default).collect();
    assert!(brought.is_empty(), "{brought:?} come without a feature");
}

#[test]
fn default_build_has_no_runtime_network_or_c() {
    let default = default_build("99");
    assert!(default.contains("serde_json"), "{default:?}");
    for foreign in ["aws-lc-sys", "cc", "hyper", "mio", "openssl-sys", "reqwest", "ring", "rustls", "tokio"] {
        assert!(!default.contains(foreign), "`{foreign}` comes without a feature");
    }
}

#[test]
fn default_build_has_few_dependencies() {
    let default = default_build("99");
    assert!(default.len() <= 90, "{} packages: {default:?}", default.len());
}

/// The packages that a build with all features has in several majors, and the dependency that needs the other one.
const TWICE: [(&str, &str); 14] = [
    (
        "base64",
        "0.22 is ours, and of the clients of PostgreSQL and Azure; `hyper-util`, `jsonwebtoken`, `object_store` and `reqwest` have 0.23",
    ),
    ("block-buffer", "as digest"),
    ("cpufeatures", "as digest"),
    ("crypto-common", "as digest"),
    (
        "digest",
        "0.10 is ours, and of the client of Azure; 0.11 that of `aes-gcm`, `ed25519-dalek`, `jsonwebtoken` and the client of PostgreSQL",
    ),
    ("getrandom", "0.4 is ours; `ring` has 0.2"),
    ("hmac", "as digest"),
    ("rand", "`oauth2` has 0.8, the clients of Azure and PostgreSQL have 0.10"),
    ("rand_core", "as rand"),
    ("sha2", "as digest"),
    ("spin", "three crates have each their own: `multer`, `crc-fast` and `octofhir-ucum`"),
    ("thiserror", "2 is ours; `oauth2` has 1"),
    ("thiserror-impl", "as thiserror"),
    ("syn", "macros, which are not in what is built"),
];

#[test]
fn duplicate_majors_have_a_reason() {
    let package = include_str!("../Cargo.toml");
    let features = package.split_once("\n[features]\n").and_then(|(_, rest)| rest.split("\n[").next()).unwrap();
    let names =
        features.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).filter(|name| !name.starts_with("__"));
    let names: Vec<_> = names.collect();
    let mut tree = vec!["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--features"];
    let names = names.join(",");
    tree.push(&names);
    let mut majors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cargo(&tree).lines() {
        let Some((name, version)) = line.split_once(" v") else { continue };
        let mut numbers = version.split(['.', ' ']);
        let major = match (numbers.next().unwrap(), numbers.next().unwrap()) {
            ("0", minor) => format!("0.{minor}"),
            (major, _) => major.to_owned(),
        };
        majors.entry(name.to_owned()).or_default().insert(major);
    }
    let found: BTreeMap<_, _> = majors.iter().filter(|(_, majors)| majors.len() > 1).collect();
    let known: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = found.iter().filter(|(name, _)| !known.contains(name.as_str())).collect();
    assert!(new.is_empty(), "{new:?} are built twice, without a reason here");
    let gone: Vec<_> = known.iter().filter(|name| !found.contains_key(&(**name).to_owned())).collect();
    assert!(gone.is_empty(), "{gone:?} are built once by now");
}
