//! Bytes as hexadecimal digits.

/// Writes at most 32 bytes into a buffer as digits in lower case, and gives them as a text.
pub(crate) fn hex<'t>(bytes: &[u8], into: &'t mut [u8; 64]) -> &'t str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    std::str::from_utf8(into.get(..bytes.len() * 2).unwrap_or_default()).unwrap_or_default()
}

/// The value of a digit, in either case.
pub(super) fn digit(of: u8) -> Option<u8> {
    match of {
        b'0'..=b'9' => Some(of - b'0'),
        b'a'..=b'f' => Some(of - b'a' + 10),
        b'A'..=b'F' => Some(of - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for chunk in bytes.chunks(32) {
            let wanted: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex(chunk, &mut [0; 64]), wanted);
        }
        for byte in 0..=u8::MAX {
            assert_eq!(digit(byte).map(u32::from), char::from(byte).to_digit(16));
        }
    }
}
