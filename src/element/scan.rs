//! Finding the end of a plain run in a string, eight bytes at a time.

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Returns the first byte that ends a plain run in a JSON string: a quote, a backslash or a control character.
#[inline]
pub(crate) fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW_BITS * 0x22);
        let slash = word ^ (LOW_BITS * 0x5c);
        // Each term has the top bit of a byte set where that byte is the one sought; a borrow can set a bit wrongly
        // only above a right one, and the lowest is taken.
        let hits = (quote.wrapping_sub(LOW_BITS) & !quote)
            | (slash.wrapping_sub(LOW_BITS) & !slash)
            | (word.wrapping_sub(LOW_BITS * 0x20) & !word);
        let hits = hits & HIGH_BITS;
        if hits != 0 {
            return Some(bytes.len() - rest.len() + (hits.trailing_zeros() / 8) as usize);
        }
        rest = after;
    }
    let index = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    index.map(|index| bytes.len() - rest.len() + index)
}

/// Whether a byte can stand in the name of a FHIR member.
#[expect(clippy::indexing_slicing, reason = "the index stays below the length of the table")]
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

/// Returns how many bytes at the beginning can stand in the name of a FHIR member.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte is an index of a table of 256")]
pub(crate) fn name_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    for byte in bytes {
        if !IN_NAME[usize::from(*byte)] {
            break;
        }
        length += 1;
    }
    length
}

/// The deepest nesting of a plain value.
const PLAIN_DEPTH: u32 = 8;

/// Returns the object or array that a valid text begins with, where it is compact, not deep, and has no member for extensions,
/// references or resources.
pub(crate) fn plain_value(text: &str) -> Option<&str> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut depth = 0_u32;
    let mut rest = text.as_bytes();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => {
                let start = rest;
                loop {
                    let end = first_special(rest)?;
                    let (_, from) = rest.split_at_checked(end)?;
                    match from {
                        [b'"', after @ ..] => {
                            rest = after;
                            break;
                        }
                        [b'\\', _, after @ ..] => rest = after,
                        _ => return None,
                    }
                }
                let string = start.get(..start.len() - rest.len() - 1)?;
                if matches!(string, b"extension" | b"modifierExtension" | b"reference" | b"resource") {
                    return None;
                }
            }
            b'{' | b'[' if depth == PLAIN_DEPTH => return None,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(..text.len() - rest.len());
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_special;

    #[test]
    fn first_special_agrees_with_a_bytewise_scan() {
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
