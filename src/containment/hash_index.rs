//! A hash index from keys to node numbers, 16 bytes an entry.

use super::node_record::NONE;

/// What a text is known by: 96 bits of a hash with a secret key.
///
/// Two texts are taken for the same where their keys are: that they are not so all the same happens to one pair in 10^28,
/// which is to one tree of a million nodes in 10^16, and nobody can choose texts for it, as nobody knows the secret. So a text
/// is read once, when its resource is at hand, and never again to compare it.
pub(super) type HashKey = [u32; 3];

/// So many are fetched at once: as many as a processor waits for side by side.
pub(super) const BATCH: usize = 16;

/// The key of no text.
pub(super) const NO_KEY: HashKey = [0; 3];

/// Returns the key of the same text with a number: in a space, of a type, of a device.
pub(super) const fn mixed([a, b, c]: HashKey, number: u32) -> HashKey {
    [a.wrapping_add(number.wrapping_mul(0x9E37_79B1)), b ^ number, c]
}

/// A table of numbers by key.
#[derive(Debug, Default)]
pub(super) struct HashIndex {
    /// [`NONE`] is no number. At least one slot is free.
    slots: Vec<(HashKey, u32)>,
    used: usize,
}

impl HashIndex {
    /// Room for so many numbers, with a third of the slots free.
    pub(super) fn with_capacity(count: usize) -> Self {
        let slots = if count == 0 { 0 } else { count + count / 2 + 1 };
        Self { slots: vec![(NO_KEY, NONE); slots], used: 0 }
    }

    /// Returns the number of a key, else the free slot where it belongs.
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

    /// Returns where the search for a key begins.
    fn start(&self, key: HashKey) -> usize {
        // A product of 32 bits and the length, of which the upper part is less than the length.
        ((u64::from(key[0]) * self.slots.len() as u64) >> 32) as usize
    }

    /// Brings to hand the slots of the keys that are looked for next, all at once: one after the other, each would be
    /// waited for, as what is done next depends on what is there.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = HashKey>) {
        let at = |key| self.slots.get(self.start(key)).map_or(0, |(_, number)| *number);
        std::hint::black_box(keys.fold(0, |all, key| all ^ at(key)));
    }

    /// The number that is there already, else this one, which is there from now on.
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
