//! What an upload and a page cost where 1, 1,000 and 100,000 of something are at rest in memory: calls of the stores, what goes
//! through them, and the time of the median. A test holds the counts to be the same (`tests/service/growth.rs`).
//!
//! ```text
//! cargo bench --bench growth [-- 10000]      # the most of each, 100,000 without
//! ```

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[path = "../tests/common/weighed.rs"]
mod weighed;

use std::time::{Duration, Instant};
use weighed::{
    Cost, Ward, holders_of_the_same_bytes, ours, tenants, uploads_of_a_component, uploads_of_others,
    versions_of_the_component,
};

type Entity = (&'static str, fn(&Ward, usize));

const ENTITIES: [Entity; 5] = [
    ("uploads of the component", uploads_of_a_component),
    ("uploads of other components", uploads_of_others),
    ("holders of the same bytes", holders_of_the_same_bytes),
    ("versions of the component", versions_of_the_component),
    ("tenants", tenants),
];

/// How often each is done, so that there is a median.
const TURNS: usize = 11;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` wants to know that it builds.
        return;
    }
    let most = std::env::args().filter_map(|argument| argument.parse::<usize>().ok()).next().unwrap_or(100_000);
    println!("{:<30} {:>8} {:>36} {:>36}", "at rest", "count", "an upload", "a page of 5 versions");
    for (name, at_rest) in ENTITIES {
        for count in [1, 1_000, 100_000].map(|count: usize| count.min(most)) {
            let ward = Ward::new();
            ward.pump(&ours(), 0);
            at_rest(&ward, count);
            let upload = median(&ward, |ward, turn| ward.upload(&ours(), 0, &format!("another {turn}")));
            let page = median(&ward, |ward, _| ward.answer("DeviceComponent/_history", "_count=5"));
            println!("{name:<30} {count:>8} {:>36} {:>36}", told(upload), told(page));
        }
    }
}

fn told((cost, took): (Cost, Duration)) -> String {
    format!("{} calls, {} items, {} B, {took:.0?}", cost.calls, cost.items, cost.bytes)
}

/// The cost of the last turn, and the time of the median.
fn median(ward: &Ward, run: impl Fn(&Ward, usize)) -> (Cost, Duration) {
    let mut times = Vec::new();
    for turn in 0..TURNS {
        ward.store.take();
        let begun = Instant::now();
        run(ward, turn);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (ward.store.take(), times.get(TURNS / 2).copied().unwrap_or_default())
}
