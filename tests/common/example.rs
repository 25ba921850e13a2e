//! The examples as binaries, built with the profile and features of the test.

use std::path::PathBuf;
use std::process::Command;

/// The features of this build, so that cargo reuses an example that is already built.
fn features() -> String {
    let all = [
        ("__cosmos_emulator", cfg!(feature = "__cosmos_emulator")),
        ("conformance", cfg!(feature = "conformance")),
        ("cosmos", cfg!(feature = "cosmos")),
        ("default", cfg!(feature = "default")),
        ("ed25519", cfg!(feature = "ed25519")),
        ("encryption", cfg!(feature = "encryption")),
        ("fhir-http", cfg!(feature = "fhir-http")),
        ("iot-hub", cfg!(feature = "iot-hub")),
        ("mqtt", cfg!(feature = "mqtt")),
        ("object-store", cfg!(feature = "object-store")),
        ("oidc", cfg!(feature = "oidc")),
        ("postgres", cfg!(feature = "postgres")),
        ("redb", cfg!(feature = "redb")),
        ("ring", cfg!(feature = "ring")),
        ("server", cfg!(feature = "server")),
        ("testkit", cfg!(feature = "testkit")),
        ("ucum", cfg!(feature = "ucum")),
        ("xml", cfg!(feature = "xml")),
    ];
    let package = include_str!("../../Cargo.toml");
    let features = package.split_once("\n[features]\n").and_then(|(_, rest)| rest.split("\n[").next()).unwrap();
    for (name, _) in
        features.lines().filter_map(|line| line.split_once(" = ")).filter(|(name, _)| !name.starts_with('#'))
    {
        assert!(all.iter().any(|(known, _)| *known == name), "the feature `{name}` is missing here");
    }
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect::<Vec<_>>().join(",")
}

/// Builds an example, and returns its binary.
pub(crate) fn build(example: &str) -> PathBuf {
    // The test is at `PROFILE/deps/NAME-..`, and an example at `PROFILE/examples/..`.
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--example", example, "--features", &features()]);
    cargo.arg("--target-dir").arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo's variables for the test's package would make build scripts run again.
    let told = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|set| name.starts_with(set));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => {}
        name => drop(cargo.args(["--profile", name])),
    }
    assert!(cargo.status().unwrap().success(), "the example {example} cannot be built");
    profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX))
}
