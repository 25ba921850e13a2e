//! Finding the end of a plain run in a string, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The first byte that ends a plain run in a JSON string: a quote, a backslash or a control character.
#[inline]
pub(crate) fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // Each term has the top bit of a byte set where that byte is the one sought; a borrow can set a bit wrongly
        // only above a right one, and the lowest is taken.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & TOPS;
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = chunks.remainder().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    rest.map(|index| at + index)
}

#[cfg(test)]
mod tests {
    use super::first_special;

    #[test]
    fn every_byte_at_every_place_is_judged_as_one_by_one() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for fill in [b'a', 0x80, 0xff, b' ', b'!', b'#', b'[', b']'] {
                    let mut bytes = [fill; 20];
                    bytes[place] = byte;
                    let slow = bytes.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20);
                    assert_eq!(first_special(&bytes), slow, "{byte} at {place} among {fill}");
                }
            }
        }
    }
}
