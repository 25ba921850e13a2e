//! Hexadecimal text of bytes.

/// Writes at most 32 bytes into a buffer as lower-case digits, and returns the text.
pub(crate) fn hex<'t>(bytes: &[u8], into: &'t mut [u8; 64]) -> &'t str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    std::str::from_utf8(into.get(..bytes.len() * 2).unwrap_or_default()).unwrap_or_default()
}

/// Returns the value of a digit in either case; [`NONE`] for any other character.
const fn value(of: u8) -> u8 {
    let (digit, letter) = (of.wrapping_sub(b'0'), (of | 0x20).wrapping_sub(b'a'));
    if digit < 10 {
        digit
    } else if letter < 6 {
        letter + 10
    } else {
        NONE
    }
}

const NONE: u8 = 0xff;

/// Parses bytes from hexadecimal digits in either case, two a byte.
pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let (mut read, mut wrong) = ([0; N], 0);
    for (byte, [high, low]) in read.iter_mut().zip(pairs) {
        let (high, low) = (value(*high), value(*low));
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong < 16).then_some(read)
}

/// Parses a 128-bit number from 32 lower-case digits.
pub(crate) fn number(text: &str) -> Option<u128> {
    let upper = text.bytes().fold(false, |upper, byte| upper | byte.is_ascii_uppercase());
    bytes(text).filter(|_| !upper).map(u128::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_agrees_with_the_standard_library() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for chunk in bytes.chunks(32) {
            let wanted: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex(chunk, &mut [0; 64]), wanted);
        }
        for (high, low) in (0..0x80_u8).flat_map(|high| (0..0x80_u8).map(move |low| (high, low))) {
            let text = String::from_iter([char::from(high), char::from(low)]);
            let is_hex = high.is_ascii_hexdigit() && low.is_ascii_hexdigit();
            let wanted = is_hex.then(|| u8::from_str_radix(&text, 16).ok()).flatten();
            assert_eq!(super::bytes(&text), wanted.map(|byte| [byte]), "{text}");
        }
        assert_eq!(super::bytes::<1>("\u{fc}"), None);
        assert_eq!(super::bytes::<1>("000"), None);
        let number = 0xfeed_0000_0000_0000_0000_0000_0000_00ff_u128;
        assert_eq!(super::number(&format!("{number:032x}")), Some(number));
        assert_eq!(super::number(&format!("{number:032X}")), None);
        assert_eq!(super::number("feed"), None);
    }
}
