//! What a user builds who names no feature: none of the dependencies of the features.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// What cargo prints, of this package as it lies here.
fn cargo(arguments: &[&str]) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments).args(["--offline", "--manifest-path", manifest]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages of the default build, by name, to a depth.
fn default_build(depth: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--depth", depth]);
    tree.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

/// The dependencies that only features bring.
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
