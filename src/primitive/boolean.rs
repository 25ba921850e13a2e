//! `boolean`, represented by Rust's `bool`.

use crate::element::{Malformed, Scalar, Token};

/// FHIR `boolean`, written `true` or `false` (FHIR 3.0.2, datatypes, boolean).
impl Scalar for bool {
    const TYPE: &'static str = "boolean";
    const TOKEN: Token = Token::Boolean;

    fn from_text(text: &str) -> Result<Self, Malformed> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Malformed::new(Self::TYPE, text, "wants true or false")),
        }
    }

    fn push_text(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn as_text(&self) -> Option<&str> {
        Some(if *self { "true" } else { "false" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_true_and_false_are_booleans() {
        assert_eq!(bool::from_text("true"), Ok(true));
        assert_eq!(bool::from_text("false"), Ok(false));
        for bad in ["", "True", "TRUE", "0", "1", " true", "null"] {
            assert!(bool::from_text(bad).is_err(), "{bad:?}");
        }
        for one in [true, false] {
            assert_eq!(one.as_text().map(bool::from_text), Some(Ok(one)));
        }
    }
}
