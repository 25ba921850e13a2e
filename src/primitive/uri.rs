//! `uri`, and its specialisations `oid` and `uuid`.

use url::Url;

/// Returns whether an ASCII byte is allowed in a uri. `|` is not allowed by RFC 3986, but occurs in searches and
/// canonical references of published documents.
fn is_allowed(byte: u8) -> bool {
    let refused = (byte == b'"')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'\\')
        | (byte == b'^')
        | (byte == b'`')
        | (byte == b'{')
        | (byte == b'}');
    (byte > b' ') & (byte <= b'~') & !refused
}

/// Returns whether `rest`, the bytes after a `%`, starts with two hexadecimal digits.
fn is_escape(rest: &[u8]) -> bool {
    matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn check_uri(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("wants at least one character");
    }
    // A colon in the first path segment must end a scheme (RFC 3986, section 4.2). Fast path: almost every uri has one
    // of these.
    if !is_http(text) {
        let bytes = text.as_bytes();
        let end = bytes.iter().position(|byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
        let first = end.and_then(|end| bytes.split_at_checked(end));
        if first.is_some_and(|(scheme, rest)| rest.first() == Some(&b':') && !is_scheme(scheme)) {
            return Err("wants a scheme before the first colon: a letter, and letters, digits, `+`, `-` and `.`");
        }
    }
    // Fast path: almost every uri ends here; the rest checks escapes and non-ASCII characters. A fold without early
    // exit is vectorised.
    if text.bytes().fold(true, |plain, byte| plain & is_allowed(byte) & (byte != b'%')) {
        return Ok(());
    }
    let mut rest = text.as_bytes();
    let mut ascii = true;
    while let [byte, tail @ ..] = rest {
        if !byte.is_ascii() {
            ascii = false;
        } else if !is_allowed(*byte) {
            return Err("wants no white space, control character, or any of \" < > \\ ^ ` { }");
        } else if *byte == b'%' && !is_escape(tail) {
            return Err("wants two hexadecimal digits after each %");
        }
        rest = tail;
    }
    if ascii || !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Ok(())
    } else {
        Err("wants no white space and no control character")
    }
}

fn check_oid(text: &str) -> Result<(), &'static str> {
    let is_arc = |arc: &str| match arc.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    match text.strip_prefix("urn:oid:") {
        Some(arcs) if arcs.split('.').all(is_arc) => Ok(()),
        _ => Err("wants urn:oid: and numbers without leading zeros parted by dots"),
    }
}

fn check_uuid(text: &str) -> Result<(), &'static str> {
    let is_digits = |digits: &str| {
        digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
            && digits.split('-').map(str::len).eq([8, 4, 4, 4, 12])
    };
    match text.strip_prefix("urn:uuid:") {
        Some(digits) if is_digits(digits) => Ok(()),
        _ => Err("wants urn:uuid: and 8-4-4-4-12 digits of 0-9 and a-f"),
    }
}

/// Returns the fault of a URN in the namespace of UUIDs or OIDs; `None` for any other uri.
pub(crate) fn urn_fault(text: &str) -> Option<&'static str> {
    let checked = match text.get(..8)? {
        "urn:uuid" => check_uuid(text),
        "urn:oid:" => check_oid(text),
        _ => return None,
    };
    checked.err()
}

/// Returns whether a uri has a bracket outside an IP literal of the host, which RFC 3986 forbids.
#[inline]
pub(crate) fn has_loose_bracket(text: &str) -> bool {
    // Fast path: hardly any uri has a bracket; a fold without early exit is vectorised.
    text.bytes().fold(false, |found, byte| found | (byte == b'[') | (byte == b']')) && is_bracket_loose(text)
}

#[cold]
fn is_bracket_loose(text: &str) -> bool {
    let is_bracket = |c: char| matches!(c, '[' | ']');
    let (before, rest) = text.split_once("//").unwrap_or((text, ""));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let literal = host.rsplit('@').next().unwrap_or_default();
    let in_host = literal.starts_with('[') && literal.matches(is_bracket).count() == 2;
    before.contains(is_bracket) || after.contains(is_bracket) || (host.contains(is_bracket) && !in_host)
}

/// Returns whether the text starts with `http:` or `https:`, as nearly every uri does.
#[inline]
fn is_http(text: &str) -> bool {
    text.starts_with("http:") || text.starts_with("https:")
}

/// Returns whether the text starts with a scheme.
pub(crate) fn is_absolute(text: &str) -> bool {
    if is_http(text) {
        return true;
    }
    let bytes = text.as_bytes();
    let scheme = bytes.iter().position(|byte| *byte == b':').and_then(|end| bytes.get(..end));
    scheme.is_some_and(is_scheme)
}

fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

text_form! {
    /// FHIR `uri`: a reference by RFC 3986, absolute or relative, compared character by character.
    ///
    /// There is no published expression. Refused are empty text, white space, control characters, the characters
    /// `"<>\^{}` and backtick, a `%` without two hexadecimal digits, and a first segment with a colon that does not end
    /// a scheme; non-ASCII characters and `|` are allowed.
    /// Source: FHIR 3.0.2, datatypes, uri.
    ///
    /// ```
    /// use fhir_devices::primitive::Uri;
    ///
    /// let system = Uri::new("urn:iso:std:iso:11073:10101")?;
    /// assert_eq!(system.to_url().unwrap().scheme(), "urn");
    /// assert!(Uri::new("http://x.org/%zz").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[derive(PartialOrd, Ord)]
    Uri, "uri", String, check_uri
}

text_form! {
    /// FHIR `oid`: an ISO object identifier as a URN.
    ///
    /// The published expression, which does not restrict the first arc, is the rule.
    /// Source: FHIR 3.0.2, datatypes, oid.
    ///
    /// ```
    /// use fhir_devices::primitive::Oid;
    ///
    /// assert_eq!(Oid::new("urn:oid:2.16.840.1.113883")?, "urn:oid:2.16.840.1.113883");
    /// assert!(Oid::new("2.16.840").is_err());
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    Oid, "oid", String, check_oid
}

text_form! {
    /// FHIR `uuid`: a UUID as a URN, in lower case.
    ///
    /// Source: FHIR 3.0.2, datatypes, uuid.
    ///
    /// ```
    /// use fhir_devices::primitive::Uuid;
    ///
    /// assert!(Uuid::new("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7").is_ok());
    /// assert!(Uuid::new("urn:uuid:53FEFA32-FCBB-4FF8-8A92-55EE120877B7").is_err());
    /// ```
    Uuid, "uuid", String, check_uuid
}

impl Uri {
    /// Parses the uri as a URL.
    ///
    /// # Errors
    /// [`url::ParseError`] when the uri is relative or otherwise not a URL.
    pub fn to_url(&self) -> Result<Url, url::ParseError> {
        Url::parse(self.as_str())
    }
}

/// Converts a URL; characters that a URL allows but a uri does not are percent-encoded.
impl From<&Url> for Uri {
    fn from(url: &Url) -> Self {
        let text = url.as_str();
        if check_uri(text).is_ok() {
            return Self(text.into());
        }
        let mut escaped = String::with_capacity(text.len() + 8);
        let mut rest = text.as_bytes();
        while let [byte, tail @ ..] = rest {
            if is_allowed(*byte) && (*byte != b'%' || is_escape(tail)) {
                escaped.push(char::from(*byte));
            } else {
                escaped.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                    escaped.push(digit.to_ascii_uppercase());
                }
            }
            rest = tail;
        }
        Self(escaped.into())
    }
}

impl From<Url> for Uri {
    fn from(url: Url) -> Self {
        Self::from(&url)
    }
}

impl From<Oid> for Uri {
    fn from(oid: Oid) -> Self {
        Self(oid.0)
    }
}

impl From<Uuid> for Uri {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uri_is_a_reference_of_allowed_characters() {
        for good in [
            "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
            "tel:+1-555",
            "http://x.org/a?b=c&d=e#f",
            "Device?identifier=http://x.org|1",
            "#pump",
            "Device/1/_history/2",
            "http://x.org/%20ö",
            "http://[::1]/",
        ] {
            assert_eq!(Uri::new(good).unwrap(), good);
        }
        for bad in ["", " ", "http://x.org/%zz", "a%2", "%", "a b", "a\n", "a\u{a0}b", "a\u{85}", "<a>", "{x}", "a\\b"]
        {
            assert!(Uri::new(bad).is_err(), "{bad:?}");
        }
        for byte in 0_u8..=127 {
            let refused = byte <= b' ' || byte == 127 || br#""<>\^`{}%"#.contains(&byte);
            assert_eq!(Uri::new(format!("a{}b", char::from(byte))).is_err(), refused, "{byte}");
        }
    }

    #[test]
    fn brackets_are_for_ip_literals_only() {
        for good in ["http://[::1]/a", "http://u@[::1]:80?b", "http://x.org/a", "urn:x"] {
            assert!(!has_loose_bracket(good), "{good}");
        }
        for bad in ["a[0]", "http://x.org/a[0]", "http://x.org?a[]=1", "http://x[1].org/", "urn:x[1]"] {
            assert!(has_loose_bracket(bad), "{bad}");
        }
    }

    #[test]
    fn url_only_characters_are_escaped() {
        let url = Url::parse("data:text/plain,a b{%zz").unwrap();
        assert_eq!(Uri::from(url), "data:text/plain,a%20b%7B%25zz");
        assert_eq!(Uri::from(&Url::parse("http://x.org/a?b=c").unwrap()), "http://x.org/a?b=c");
    }

    #[test]
    fn oid_is_a_urn_of_dotted_numbers() {
        for good in ["urn:oid:1.2.3.4.5", "urn:oid:2.16.840.1.113883", "urn:oid:0.9", "urn:oid:0"] {
            assert_eq!(Oid::new(good).unwrap(), good);
        }
        for bad in ["", "1.2", "urn:oid:", "urn:oid:1..2", "urn:oid:a.b", "urn:OID:1.2.3", "urn:oid:1.02", "urn:oid:1."]
        {
            assert!(Oid::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uuid_is_a_lower_case_urn() {
        let good = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7";
        assert_eq!(Uri::from(Uuid::new(good).unwrap()), good);
        for bad in [
            "",
            "53fefa32-fcbb-4ff8-8a92-55ee120877b7",
            "urn:uuid:53FEFA32-fcbb-4ff8-8a92-55ee120877b7",
            "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b",
            "urn:uuid:53fefa32-fcbb-4ff8-8a92",
            "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7-",
        ] {
            assert!(Uuid::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_url_becomes_a_valid_uri(tail in ".*") {
            for start in ["http://x.org/", "data:", "http://x.org/?"] {
                if let Ok(url) = Url::parse(&format!("{start}{tail}")) {
                    prop_assert!(Uri::new(Uri::from(&url)).is_ok());
                }
            }
        }
    }
}
