//! The source of randomness: a list of choices, drawn from a seed or given.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Drawn {
    given: Vec<u32>,
    at: usize,
    seed: Option<u64>,
    made: Vec<u32>,
}

/// Makes choices and records them. After the end of a given list every choice is 0, the simplest one everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Choices(Arc<Mutex<Drawn>>);

impl Choices {
    pub(crate) fn seeded(seed: u64) -> Self {
        let seed = Some(mixed(seed));
        Self(Arc::new(Mutex::new(Drawn { given: Vec::new(), at: 0, seed, made: Vec::new() })))
    }

    pub(crate) fn given(given: &[u32]) -> Self {
        Self(Arc::new(Mutex::new(Drawn { given: given.to_vec(), at: 0, seed: None, made: Vec::new() })))
    }

    /// Returns a number below `count`.
    pub(crate) fn pick(&self, count: usize) -> usize {
        let mut drawn = self.0.lock().unwrap();
        let raw = match drawn.seed {
            Some(seed) => {
                let next = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                drawn.seed = Some(next);
                (mixed(next) >> 32) as u32
            }
            None => drawn.given.get(drawn.at).copied().unwrap_or(0),
        };
        drawn.at += 1;
        let chosen = raw as usize % count;
        drawn.made.push(chosen as u32);
        chosen
    }

    /// Returns whether the last of `count` choices is made.
    pub(crate) fn rarely(&self, count: usize) -> bool {
        self.pick(count) == count - 1
    }

    pub(crate) fn made(&self) -> Vec<u32> {
        self.0.lock().unwrap().made.clone()
    }
}

/// Spreads the bits of a number (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns a shorter list of choices that fails as well: the list is cut, and parts of it are removed or simplified,
/// while that helps and there is time.
pub(crate) fn shrunk(mut list: Vec<u32>, time: Duration, fails: impl Fn(&[u32]) -> Option<Vec<u32>>) -> Vec<u32> {
    let begun = Instant::now();
    let mut size = list.len().max(1);
    while size > 0 {
        let mut from = 0;
        while from < list.len() && begun.elapsed() < time {
            let to = (from + size).min(list.len());
            let without = [&list[..from], &list[to..]].concat();
            let plain = [&list[..from], &vec![0; to - from], &list[to..]].concat();
            let candidates = [(without, false), (plain, true)];
            let smaller = candidates.into_iter().find_map(|(candidate, stays)| {
                if stays && list[from..to].iter().all(|choice| *choice == 0) {
                    return None;
                }
                fails(&candidate).map(|made| (trimmed(made), stays))
            });
            match smaller {
                Some((made, _)) if made.len() > list.len() => from += size,
                Some((made, stays)) => {
                    list = made;
                    from += if stays { size } else { 0 };
                }
                None => from += size,
            }
        }
        size /= 2;
    }
    list
}

/// Returns the list without the zeros at its end, which are the default.
fn trimmed(mut list: Vec<u32>) -> Vec<u32> {
    while list.last() == Some(&0) {
        list.pop();
    }
    list
}
