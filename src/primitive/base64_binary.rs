//! `base64Binary`: bytes as text.

use crate::element::Malformed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Marks a byte outside the alphabet.
const NONE: u8 = 0xff;
/// Marks the padding character.
const PAD: u8 = 0xfe;
/// Marks XML white space.
const WHITE: u8 = 0xfd;

/// Meaning of each byte of the text: its six bits, or one of the three marks above.
#[allow(clippy::indexing_slicing)] // evaluated by the compiler, which refuses an index out of bounds
const MEANING: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [NONE; 256];
    let mut bits = 0;
    while bits < 64 {
        table[alphabet[bits as usize] as usize] = bits;
        bits += 1;
    }
    table[b'=' as usize] = PAD;
    table[b' ' as usize] = WHITE;
    table[b'\t' as usize] = WHITE;
    table[b'\r' as usize] = WHITE;
    table[b'\n' as usize] = WHITE;
    table
};

fn meaning(byte: u8) -> u8 {
    MEANING.get(usize::from(byte)).copied().unwrap_or(NONE)
}

fn check_base64(text: &str) -> Result<(), &'static str> {
    let ends = (text.as_bytes().first(), text.as_bytes().last());
    match ends {
        (Some(first), Some(last)) if meaning(*first) != WHITE && meaning(*last) != WHITE => {}
        (None, _) => return Err("wants at least one byte"),
        _ => return Err("wants no white space at the ends"),
    }
    let (mut characters, mut padding, mut last) = (0_usize, 0_usize, 0_u8);
    for byte in text.bytes() {
        match meaning(byte) {
            NONE => return Err("wants characters of A-Z, a-z, 0-9, + and /"),
            PAD => padding += 1,
            WHITE => {}
            _ if padding > 0 => return Err("wants = at the end only"),
            bits => {
                characters += 1;
                last = bits;
            }
        }
    }
    let spare = match (characters % 4, padding) {
        (0, 0) => 0,
        (3, 1) => last & 0b11,
        (2, 2) => last & 0b1111,
        _ => return Err("wants groups of four characters, the last one filled with ="),
    };
    if spare == 0 { Ok(()) } else { Err("wants zero in the bits that the padding leaves over") }
}

text_form! {
    /// FHIR `base64Binary`: bytes in the standard alphabet of RFC 4648, padded.
    ///
    /// XML white space (space, tab, carriage return, line feed) between the characters is allowed and kept; unused bits
    /// before the padding are zero. Source: FHIR 3.0.2, datatypes, base64Binary.
    ///
    /// ```
    /// use fhir_devices::primitive::Base64;
    ///
    /// let carrier = Base64::encode(b"(01)09504000059118")?;
    /// assert_eq!(carrier, "KDAxKTA5NTA0MDAwMDU5MTE4");
    /// assert_eq!(carrier.decode(), b"(01)09504000059118");
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Base64, "base64Binary", String, check_base64
}

impl Base64 {
    /// Encodes `bytes` as base64 without white space.
    ///
    /// # Errors
    /// [`Malformed`] when there are no bytes: FHIR has no empty strings, so that the element must be left out.
    pub fn encode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::new(STANDARD.encode(bytes))
    }

    /// Decodes the bytes.
    #[must_use]
    pub fn decode(&self) -> Vec<u8> {
        let text = self.as_str();
        let bytes = if text.bytes().any(|byte| meaning(byte) == WHITE) {
            let dense: Vec<u8> = text.bytes().filter(|byte| meaning(*byte) != WHITE).collect();
            STANDARD.decode(dense)
        } else {
            STANDARD.decode(text)
        };
        // The check on construction accepts exactly what the decoder accepts, as a test verifies.
        bytes.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_padded_canonical_and_standard() {
        for (good, bytes) in [("QQ==", "A"), ("QUI=", "AB"), ("QUJD", "ABC"), ("QU JD\r\nQQ =\t=", "ABCA")] {
            let value = Base64::new(good).unwrap();
            assert_eq!(value, good);
            assert_eq!(value.decode(), bytes.as_bytes());
        }
        for bad in ["", "A", "AB=C", "AAA", "####", "AB-_", "QR==", "QUJ=", "A===", "====", " QQ==", "QQ==\n", "é==="]
        {
            assert!(Base64::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn empty_base64_is_refused() {
        assert!(Base64::encode(b"").is_err());
    }

    proptest! {
        #[test]
        fn bytes_round_trip_through_base64(bytes in prop::collection::vec(any::<u8>(), 1..80)) {
            prop_assert_eq!(Base64::encode(&bytes).unwrap().decode(), bytes);
        }

        #[test]
        fn base64_check_agrees_with_the_decoder(text in "[A-Za-z0-9+/]{1,9}={0,3}") {
            prop_assert_eq!(Base64::new(&text).is_ok(), STANDARD.decode(&text).is_ok());
        }
    }
}
