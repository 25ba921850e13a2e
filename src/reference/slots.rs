//! Numbers that are found by a hash, in eight bytes a slot.

use super::record::NONE;

/// A table of numbers by the hash of what they stand for. What that is the caller knows, and compares it where a hash is
/// the same: so no key is held, and none is touched that is not the one.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Hashes and numbers; [`NONE`] where there is no number. At least one slot is free.
    slots: Vec<(u32, u32)>,
    used: usize,
}

impl Slots {
    /// Room for so many numbers, with a third of the slots free.
    pub(super) fn with_capacity(count: usize) -> Self {
        let slots = if count == 0 { 0 } else { count + count / 2 + 1 };
        Self { slots: vec![(0, NONE); slots], used: 0 }
    }

    /// The place of a hash; those of a larger hash come later.
    fn home(&self, hash: u32) -> usize {
        // A product of 32 bits and the length, of which the upper part is less than the length.
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    /// The number of this hash that is the one looked for, else the free slot where it belongs.
    fn look(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        let mut at = self.home(hash);
        loop {
            match self.slots.get(at) {
                Some((_, NONE)) | None => return Err(at),
                Some((here, number)) if *here == hash && is(*number) => return Ok(*number),
                Some(_) => at = if at + 1 < self.slots.len() { at + 1 } else { 0 },
            }
        }
    }

    pub(super) fn find(&self, hash: u32, is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.look(hash, is).ok()
    }

    /// The number that is there already, else this one, which is there from now on.
    pub(super) fn insert(&mut self, hash: u32, number: u32, is: impl FnMut(u32) -> bool) -> u32 {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        match self.look(hash, is) {
            Ok(there) => there,
            Err(free) => {
                if let Some(slot) = self.slots.get_mut(free) {
                    *slot = (hash, number);
                    self.used += 1;
                }
                number
            }
        }
    }

    fn grow(&mut self) {
        let larger = vec![(0, NONE); (self.slots.len() * 2).max(8)];
        for (hash, number) in std::mem::replace(&mut self.slots, larger) {
            if number != NONE
                && let Err(free) = self.look(hash, |_| false)
                && let Some(slot) = self.slots.get_mut(free)
            {
                *slot = (hash, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_found_whatever_the_hashes_and_the_room() {
        // Many keys to a hash, hashes at both ends, and growth from nothing.
        let hash = |key: u32| if key % 3 == 0 { u32::MAX - key % 5 } else { key.wrapping_mul(0x9E37_79B9) };
        for room in [0, 1, 7, 1_000] {
            let mut slots = Slots::with_capacity(room);
            for key in 0..1_000 {
                assert_eq!(slots.find(hash(key), |number| number == key), None);
                assert_eq!(slots.insert(hash(key), key, |number| number == key), key);
            }
            for key in 0..1_000 {
                assert_eq!(slots.find(hash(key), |number| number == key), Some(key));
                assert_eq!(slots.insert(hash(key), 5_000, |number| number == key), key);
            }
            assert_eq!(slots.find(hash(1_000), |number| number == 1_000), None);
        }
        assert_eq!(Slots::default().find(7, |_| true), None);
    }
}
