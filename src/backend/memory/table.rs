//! A hash table of numbers whose keys are stored elsewhere.
//!
//! Written by hand: `hashbrown::HashTable` would be a default dependency, and reads every key again to grow, while a
//! cell here holds 32 bits of the hash.

/// Numbers, each under a hash. A number is found by its hash and by its key, which the caller compares.
///
/// Open addressing with linear probing. A cell holds 32 bits of the hash, which give the home of the number, and the
/// number plus one; 0 is a free cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<u64>,
    len: usize,
}

fn tag(hash: u64) -> u64 {
    hash & 0xffff_ffff_0000_0000
}

fn number(place: u64) -> u32 {
    // The lower half fits.
    u32::try_from(place & 0xffff_ffff).unwrap_or_default().wrapping_sub(1)
}

impl Table {
    fn home(&self, place: u64) -> usize {
        // The number of cells is a power of two.
        usize::try_from(place >> 32).unwrap_or_default() & self.places.len().wrapping_sub(1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & self.places.len().wrapping_sub(1)
    }

    /// Returns the position of the number that `is` accepts.
    fn position(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = self.home(tag(hash));
        loop {
            let place = *self.places.get(at)?;
            if place == 0 {
                return None;
            }
            if tag(place) == tag(hash) && is(number(place)) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// Returns the number under the hash that `is` accepts.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is)?;
        self.places.get(at).copied().map(number)
    }

    /// Adds a number that is not in the table.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        if self.len >= self.places.len() / 4 * 3 {
            let places = vec![0; (self.places.len() * 2).max(8)];
            for place in std::mem::replace(&mut self.places, places) {
                self.put(place);
            }
        }
        self.len += 1;
        self.put(tag(hash) | (u64::from(number) + 1));
    }

    fn put(&mut self, new: u64) {
        let mut at = self.home(new);
        while let Some(place) = self.places.get_mut(at).filter(|_| new != 0) {
            if *place == 0 {
                *place = new;
                return;
            }
            at = self.after(at);
        }
    }

    /// Removes a number, and moves later ones up, so that none is cut off from its home.
    pub(super) fn remove(&mut self, hash: u64, wanted: u32) {
        let Some(mut free) = self.position(hash, |number| number == wanted) else { return };
        self.len -= 1;
        let mask = self.places.len().wrapping_sub(1);
        let mut at = self.after(free);
        while let Some(place) = self.places.get(at).copied().filter(|place| *place != 0) {
            // The number may move to the free cell unless its home is after it.
            if at.wrapping_sub(self.home(place)) & mask >= at.wrapping_sub(free) & mask {
                if let Some(to) = self.places.get_mut(free) {
                    *to = place;
                }
                free = at;
            }
            at = self.after(at);
        }
        if let Some(place) = self.places.get_mut(free) {
            *place = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn table_agrees_with_a_hash_map() {
        // Few hashes, so that many numbers share a home.
        let hash = |number: u32| u64::from(number % 97) << 32;
        let (mut table, mut map, mut dice) = (Table::default(), HashMap::new(), 7_u64);
        for _ in 0..20_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = u32::try_from(dice >> 33).unwrap_or_default() % 500;
            if map.remove(&number).is_some() {
                table.remove(hash(number), number);
            } else {
                map.insert(number, ());
                table.insert(hash(number), number);
            }
            let probe = number.wrapping_add(1) % 500;
            assert_eq!(table.find(hash(probe), |found| found == probe).is_some(), map.contains_key(&probe));
            assert_eq!(table.len, map.len());
        }
        for number in 0..500 {
            let found = table.find(hash(number), |found| found == number);
            assert_eq!(found, map.contains_key(&number).then_some(number));
        }
    }
}
