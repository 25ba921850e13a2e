//! Hash index from keys to node numbers, 16 bytes an entry.

use super::node_record::NONE;

/// Key of a text: 96 bits of a hash with a secret seed.
///
/// Texts with equal keys count as equal. The chance of a collision is 10^-28 for a pair, thus 10^-16 for a tree of a
/// million nodes, and nobody can construct one without the secret. So each text is read once, with its resource, and
/// never again for a comparison.
pub(super) type HashKey = [u32; 3];

/// Number of keys prefetched at once: as many memory accesses as a processor has in flight.
pub(super) const BATCH: usize = 16;

/// Key that stands for no text.
pub(super) const NO_KEY: HashKey = [0; 3];

/// Combines the key of a text with a number, such as that of an id space or a device.
pub(super) const fn mixed([a, b, c]: HashKey, number: u32) -> HashKey {
    [a.wrapping_add(number.wrapping_mul(0x9E37_79B1)), b ^ number, c]
}

/// Hash table from keys to numbers.
#[derive(Debug, Default)]
pub(super) struct HashIndex {
    /// Slots, free where the number is [`NONE`]. At least one slot is free.
    slots: Vec<(HashKey, u32)>,
    used: usize,
}

impl HashIndex {
    /// Creates a table for this many numbers, with a third of the slots free.
    pub(super) fn with_capacity(count: usize) -> Self {
        let slots = if count == 0 { 0 } else { count + count / 2 + 1 };
        Self { slots: vec![(NO_KEY, NONE); slots], used: 0 }
    }

    /// Returns the number of a key, or the free slot for it.
    fn look(&self, key: HashKey) -> Result<u32, usize> {
        let mut at = self.start(key);
        loop {
            match self.slots.get(at) {
                Some((_, NONE)) | None => return Err(at),
                Some((here, number)) if *here == key => return Ok(*number),
                Some(_) => at = if at + 1 < self.slots.len() { at + 1 } else { 0 },
            }
        }
    }

    pub(super) fn find(&self, key: HashKey) -> Option<u32> {
        self.look(key).ok()
    }

    /// Returns the first slot to probe for a key.
    fn start(&self, key: HashKey) -> usize {
        // The upper half of a 32-bit number times the length is less than the length.
        ((u64::from(key[0]) * self.slots.len() as u64) >> 32) as usize
    }

    /// Prefetches the slots of the next keys together, so that their cache misses overlap.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = HashKey>) {
        let at = |key| self.slots.get(self.start(key)).map_or(0, |(_, number)| *number);
        std::hint::black_box(keys.fold(0, |all, key| all ^ at(key)));
    }

    /// Returns the number stored for the key, or stores and returns this one.
    pub(super) fn insert(&mut self, key: HashKey, number: u32) -> u32 {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        match self.look(key) {
            Ok(there) => there,
            Err(free) => {
                if let Some(slot) = self.slots.get_mut(free) {
                    *slot = (key, number);
                    self.used += 1;
                }
                number
            }
        }
    }

    fn grow(&mut self) {
        let larger = vec![(NO_KEY, NONE); (self.slots.len() * 2).max(8)];
        for (key, number) in std::mem::replace(&mut self.slots, larger) {
            if number != NONE
                && let Err(free) = self.look(key)
                && let Some(slot) = self.slots.get_mut(free)
            {
                *slot = (key, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_keys_are_found_at_any_capacity() {
        // Many keys that belong to one slot, slots at both ends, and growth from nothing.
        let key = |of: u32| {
            let place = if of.is_multiple_of(3) { u32::MAX - of % 5 } else { of.wrapping_mul(0x9E37_79B9) };
            [place, of, 7]
        };
        for room in [0, 1, 7, 1_000] {
            let mut slots = HashIndex::with_capacity(room);
            for of in 0..1_000 {
                assert_eq!(slots.find(key(of)), None);
                assert_eq!(slots.insert(key(of), of), of);
            }
            for of in 0..1_000 {
                assert_eq!(slots.find(key(of)), Some(of));
                assert_eq!(slots.insert(key(of), 5_000), of);
            }
            assert_eq!(slots.find(key(1_000)), None);
        }
        assert_eq!(HashIndex::default().find(key(7)), None);
    }
}
