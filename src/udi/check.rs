//! The check digits and characters of the agencies.
//!
//! ```
//! use fhir_devices::udi::check;
//!
//! assert_eq!(check::gs1_digit("5102222223333"), Some('6'));
//! assert_eq!(check::gs1_pair("1987654Ad4X4bL5ttr2310c"), Some(['2', 'K']));
//! assert_eq!(check::hibc_character("+A123BJC5D6E71"), Some('G'));
//! assert_eq!(check::iso7064_mod37_2("A9990ABC123T0480"), Some(8));
//! assert_eq!(check::ifa_digits("1112345684"), 8);
//! assert_eq!(check::pzn_digit("1234568"), Some('4'));
//! ```

/// The characters of HIBC (Code 39) in the order of their values.
const HIBC: &[u8; 43] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%";

/// The characters that the check pair of GS1 is written with.
const PAIR: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The weights of the check pair of GS1, from the last character to the first.
const PRIMES: [u32; 23] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83];

fn digit(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
}

fn as_digit(value: u32) -> Option<char> {
    char::from_digit(value, 10)
}

/// Returns the value of a character in GS1's set 82: `!"%&'()*+,-./0-9:;<=>?A-Z_a-z`.
pub(super) fn set82(byte: u8) -> Option<u32> {
    let value = match byte {
        b'!' | b'"' => byte - b'!',
        b'%'..=b'?' => byte - b'%' + 2,
        b'A'..=b'Z' => byte - b'A' + 29,
        b'_' => 55,
        b'a'..=b'z' => byte - b'a' + 56,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Returns the value of a character of HIBC.
pub(super) fn hibc(byte: u8) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        b'-' => 36,
        b'.' => 37,
        b' ' => 38,
        b'$' => 39,
        b'/' => 40,
        b'+' => 41,
        b'%' => 42,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Returns the check digit of a GTIN, an SSCC and other GS1 numbers: modulus 10, with the weights 3, 1, 3, … from the
/// right.
///
/// [`None`] where there is anything but digits. Source: GS1 General Specifications, section 7.9.1.
#[must_use]
pub fn gs1_digit(digits: &str) -> Option<char> {
    let mut sum = 0_u32;
    for (index, byte) in digits.bytes().rev().enumerate() {
        sum = (sum + digit(byte)? * if index % 2 == 0 { 3 } else { 1 }) % 10;
    }
    as_digit((10 - sum) % 10)
}

/// Returns the two check characters of a GMN, a Master UDI-DI of GS1 and a Basic UDI-DI of HIBCC: modulus 1021 over
/// set 82, weighted with the primes from the right.
///
/// [`None`] where a character is not in the set, or where there are more than 23. Source: GS1 General Specifications,
/// section 7.9.5.
#[must_use]
pub fn gs1_pair(text: &str) -> Option<[char; 2]> {
    if text.len() > PRIMES.len() {
        return None;
    }
    let mut sum = 0;
    for (byte, prime) in text.bytes().rev().zip(PRIMES) {
        sum += set82(byte)? * prime;
    }
    let sum = usize::try_from(sum % 1021).ok()?;
    Some([char::from(*PAIR.get(sum >> 5)?), char::from(*PAIR.get(sum & 31)?)])
}

/// Returns the check character of HIBC: modulus 43 over everything from the leading `+`.
///
/// [`None`] where a character is not in the set `0-9A-Z-. $/+%`. Source: ANSI/HIBC 2.6, appendix on the check
/// character.
#[must_use]
pub fn hibc_character(text: &str) -> Option<char> {
    let mut sum = 0;
    for byte in text.bytes() {
        sum = (sum + hibc(byte)?) % 43;
    }
    HIBC.get(usize::try_from(sum).ok()?).copied().map(char::from)
}

/// Returns the check value of ISBT 128, 0 to 36: ISO/IEC 7064 modulus 37-2 over digits and upper case letters.
///
/// A Basic UDI-DI of ICCBBA ends with it as two digits; in the flags of a donation number it follows 60.
/// [`None`] where a character is not in the set. Source: ICCBBA ST-001, appendix A.
#[must_use]
pub fn iso7064_mod37_2(text: &str) -> Option<u8> {
    let mut sum = 0;
    for byte in text.bytes() {
        sum = (sum + hibc(byte).filter(|value| *value < 36)?) * 2 % 37;
    }
    u8::try_from((38 - sum) % 37).ok()
}

/// Returns the check digits of IFA as a number, 0 to 96: modulus 97 over the ASCII values, weighted 2, 3, 4, … from
/// the left.
///
/// Source: IFA, UDI specification 2.5.
#[must_use]
pub fn ifa_digits(text: &str) -> u8 {
    let mut sum = 0_u32;
    for (byte, weight) in text.bytes().zip((0..97).cycle().skip(2)) {
        sum = (sum + u32::from(byte) * weight) % 97;
    }
    u8::try_from(sum).unwrap_or_default()
}

/// Returns the last digit of a PZN from the seven before it: modulus 11, weighted 1 to 7.
///
/// [`None`] where there is anything but digits, or where the remainder is 10, so that the number is not given out.
/// Source: IFA, technical information on the PZN.
#[must_use]
pub fn pzn_digit(digits: &str) -> Option<char> {
    let mut sum = 0_u32;
    for (byte, weight) in digits.bytes().zip((0..11).cycle().skip(1)) {
        sum = (sum + digit(byte)? * weight) % 11;
    }
    as_digit(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_sets_are_numbered_in_order() {
        let all = br#"!"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"#;
        let values: Vec<_> = all.iter().map(|byte| set82(*byte).unwrap()).collect();
        assert_eq!(values, (0..82).collect::<Vec<_>>());
        assert_eq!((0..=255).filter(|byte| set82(*byte).is_some()).count(), 82);
        let values: Vec<_> = HIBC.iter().map(|byte| hibc(*byte).unwrap()).collect();
        assert_eq!(values, (0..43).collect::<Vec<_>>());
        assert_eq!((0..=255).filter(|byte| hibc(*byte).is_some()).count(), 43);
    }

    #[test]
    fn no_check_character_outside_the_set() {
        assert_eq!(gs1_digit("12A"), None);
        assert_eq!(gs1_pair("12 "), None);
        assert_eq!(gs1_pair("123456789012345678901234"), None);
        assert_eq!(hibc_character("+a"), None);
        assert_eq!(iso7064_mod37_2("A-"), None);
        assert_eq!(pzn_digit("A"), None);
    }

    #[test]
    fn pzn_with_remainder_ten_has_no_check_digit() {
        assert_eq!(pzn_digit("0000003"), None); // 3 * 7 = 21, and 21 % 11 = 10
    }
}
