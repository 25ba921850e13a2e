//! `code` and `id`: short tokens for machines.

/// White space as the `\s` of the published expressions means it.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn check_code(text: &str) -> Result<(), &'static str> {
    const WANTED: &str = "wants words parted by single white space, with none around them";
    let mut after_white = true;
    for byte in text.bytes() {
        let white = is_white(byte);
        if white && after_white {
            return Err(WANTED);
        }
        after_white = white;
    }
    if after_white { Err(WANTED) } else { Ok(()) }
}

/// Whether a text is an id: 1 to 64 letters and digits of ASCII, `-` and `.`.
pub(crate) fn is_id(text: &str) -> bool {
    let allowed = text
        .bytes()
        .fold(true, |allowed, byte| allowed & (byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'.')));
    allowed && (1..=64).contains(&text.len())
}

fn check_id(text: &str) -> Result<(), &'static str> {
    if is_id(text) { Ok(()) } else { Err("wants 1 to 64 characters of A-Z, a-z, 0-9, - and .") }
}

text_form! {
    /// FHIR `code`: a token from a set defined elsewhere, `[^\s]+([\s]?[^\s]+)*`.
    ///
    /// Single white space inside is allowed, none at the ends and no two in a row. Sets that FHIR closes are enums of
    /// their own. Source: FHIR 3.0.2, datatypes, code.
    ///
    /// ```
    /// use fhir_devices::primitive::Code;
    ///
    /// assert_eq!(Code::new("mg/dL")?, "mg/dL");
    /// assert!(Code::new("mg ").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[derive(PartialOrd, Ord)]
    Code, "code", String, check_code
}

text_form! {
    /// FHIR `id`: the name of a resource on its server, `[A-Za-z0-9\-\.]{1,64}`.
    ///
    /// Upper and lower case differ. Source: FHIR 3.0.2, datatypes, id.
    ///
    /// ```
    /// use fhir_devices::primitive::Id;
    ///
    /// assert_eq!(Id::new("DEV-872")?, "DEV-872");
    /// assert!(Id::new("a_b").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[derive(PartialOrd, Ord)]
    Id, "id", String, check_id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_single_white_space_inside_only() {
        for good in ["1234.5", "Ünï-cödé", "a\tb", "<", "mg/dL", "a b c"] {
            assert_eq!(Code::new(good).unwrap(), good);
        }
        for bad in ["", " ", " active", "a ", "a\tb\t", "a  b", "a\r\nb", "\na"] {
            assert!(Code::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_has_1_to_64_letters_digits_hyphens_and_dots() {
        let longest = "a".repeat(64);
        for good in ["a", "DEV-000000000872", "1.2.3", "-", longest.as_str()] {
            assert_eq!(Id::new(good).unwrap(), good);
        }
        let too_long = "a".repeat(65);
        for bad in ["", "a_b", "ä", "v 3", "a/b", "#a", too_long.as_str()] {
            assert!(Id::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_ordered_as_their_text() {
        assert!(Id::new("a").unwrap() < Id::new("b").unwrap());
    }
}
