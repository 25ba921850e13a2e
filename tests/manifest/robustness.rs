//! Arbitrary bytes: nothing panics, and accepted manifests survive being written. `FUZZ_SECONDS` sets the duration, and
//! `FUZZ_SEED` the seed.

use super::*;
use std::time::{Duration, Instant};

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Changes a document once: a byte, a token, or a part removed, doubled or moved.
fn mutate(json: &mut Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) {
    const TOKENS: [&str; 14] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "-1",
        "1e400",
        "\"\\ud800\"",
        "\"opaque\"",
        "18446744073709551616",
        "\u{feff}",
    ];
    let at = chance.below(json.len() + 1);
    let end = at + chance.below((json.len() - at + 1).min(60));
    match chance.below(6) {
        0 => json.insert(at, (chance.next() & 0xFF) as u8),
        1 => drop(json.splice(at..at, TOKENS[chance.below(TOKENS.len())].bytes())),
        2 => drop(json.drain(at..end)),
        3 => {
            let part = json[at..end].to_vec();
            drop(json.splice(at..at, part));
        }
        4 => {
            let other = &others[chance.below(others.len())];
            let from = chance.below(other.len());
            let until = from + chance.below((other.len() - from + 1).min(60));
            drop(json.splice(at..end, other[from..until].iter().copied()));
        }
        _ => {
            if let Some(byte) = json.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

fn probe(json: &[u8]) -> bool {
    match UpdateManifest::from_json(json) {
        Ok(manifest) => {
            let written = manifest.to_json();
            assert_eq!(UpdateManifest::from_json(written.as_bytes()).as_ref(), Ok(&manifest), "{written}");
            assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok());
            true
        }
        Err(report) => {
            assert!(report.has_errors(), "{report}");
            assert!(report.iter().all(|issue| issue.at.starts_with("UpdateManifest")), "{report}");
            false
        }
    }
}

#[test]
fn manifest_reader_never_panics() {
    let all: Vec<Vec<u8>> =
        ["accepted", "refused"].iter().flat_map(|folder| documents(folder)).map(|(_, json)| json).collect();
    let mut chance = Chance(setting("FUZZ_SEED", 2_017));
    let end = Instant::now() + Duration::from_secs_f64(setting("FUZZ_SECONDS", 0.7));
    let mut accepted = 0;
    while Instant::now() < end {
        let mut json = all[chance.below(all.len())].clone();
        for _ in 0..chance.below(4) {
            mutate(&mut json, &all, &mut chance);
        }
        accepted += usize::from(probe(&json));
    }
    assert!(accepted > 0);
}

#[test]
fn truncated_manifest_is_refused() {
    for (_, json) in documents("accepted") {
        let whole = json.iter().rposition(|byte| *byte == b'}').unwrap();
        for end in 0..=whole {
            assert!(!probe(&json[..end]), "{end}");
        }
    }
}
