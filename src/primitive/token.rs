//! `code` and `id`: short machine-readable tokens.

fn check_code(text: &str) -> Result<(), &'static str> {
    const WANTED: &str = "wants words parted by single spaces, with none around them and no other white space";
    let mut after_space = true;
    let mut ascii = true;
    for byte in text.bytes() {
        let space = byte == b' ';
        if (space && after_space) || matches!(byte, b'\t'..=b'\r') {
            return Err(WANTED);
        }
        ascii &= byte.is_ascii();
        after_space = space;
    }
    let other_white = |c: char| c.is_whitespace() && c != ' ';
    if after_space || (!ascii && text.contains(other_white)) { Err(WANTED) } else { Ok(()) }
}

/// Returns whether a text is an id: 1 to 64 ASCII letters and digits, `-` and `.`.
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
    /// Single spaces inside are allowed, but none at the ends, no two in a row and no other white space: the published
    /// expression accepts a tab, the definition ("no whitespace other than single spaces in the contents") does not.
    /// Codes of required bindings are enums of their own. Source: FHIR 3.0.2, datatypes, code.
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
    /// FHIR `id`: the logical id of a resource on its server, `[A-Za-z0-9\-\.]{1,64}`.
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
    fn code_has_single_spaces_inside_only() {
        for good in ["1234.5", "Ünï-cödé", "<", "mg/dL", "a b c"] {
            assert_eq!(Code::new(good).unwrap(), good);
        }
        for bad in ["", " ", " active", "a ", "a\tb\t", "a  b", "a\r\nb", "\na", "a\tb", "a\u{a0}b", "a\u{2003}b"] {
            assert!(Code::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn id_has_1_to_64_letters_digits_hyphens_or_dots() {
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
    fn ids_sort_by_text() {
        assert!(Id::new("a").unwrap() < Id::new("b").unwrap());
    }
}
