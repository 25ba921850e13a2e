//! The cost of a step at a size, compared with its cost at four times the size.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Returns the processor time of this thread, where the system reports it; other programs do not count then.
fn processor_time() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| BEGUN.elapsed(), Duration::from_nanos)
}

/// Compares the cost of `run` on this thread at four times a size with its cost at the size: the number and bytes of
/// allocations, which are the same each time, and processor time, which can only be too high. So the minimum of several
/// runs counts, and it is measured up to 12 times before the test fails.
pub(crate) fn grows(run: impl Fn(usize), size: usize) {
    let sizes = [size, 4 * size];
    let [small, large] = sizes.map(|size| allocation_counter::measure(|| run(size)));
    let (few, many) = (small.count_total, large.count_total);
    assert!(many <= few * 6 + 2_000, "{few} and {many} allocations for four times as much");
    let (few, many) = (small.bytes_total, large.bytes_total);
    assert!(many <= few * 8 + (4 << 20), "{few} and {many} allocated bytes for four times as much");
    let mut least = [Duration::MAX; 2];
    for round in 0..12 {
        for (least, size) in least.iter_mut().zip(sizes) {
            let begun = processor_time();
            run(size);
            *least = (*least).min((processor_time() - begun).max(Duration::from_millis(2)));
        }
        // Quadratic growth takes sixteen times as long.
        if round >= 2 && least[1] < least[0] * 10 {
            return;
        }
    }
    panic!("{:?} and {:?} for four times as much", least[0], least[1]);
}
