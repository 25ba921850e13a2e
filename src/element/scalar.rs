//! One primitive value and its JSON token.

use std::fmt::Debug;

/// The JSON token of a primitive type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `true` or `false`.
    Boolean,
    /// A JSON number.
    Number,
    /// A JSON string.
    String,
}

impl Token {
    /// Returns the name that a message uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
        }
    }
}

/// The error for text that is not a value of a primitive type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not of type `{expected}`: {reason}")]
pub struct Malformed {
    /// The FHIR name of the expected type.
    pub expected: &'static str,
    /// The text that was found, cut to its first 64 characters.
    pub found: String,
    /// The format that the type requires.
    pub reason: &'static str,
}

impl Malformed {
    /// States that `found` is not an `expected`, and why.
    #[must_use]
    pub fn new(expected: &'static str, found: &str, reason: &'static str) -> Self {
        let mut cut: String = found.chars().take(64).collect();
        if cut.len() < found.len() {
            cut.push('…');
        }
        Self { expected, found: cut, reason }
    }
}

/// A FHIR primitive type with a checked text form.
///
/// For [`Token::String`] the text is the content of the JSON string with its escapes resolved, for the others it is
/// the JSON token itself.
pub trait Scalar: Sized + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The FHIR name of the type, such as `dateTime`.
    const TYPE: &'static str;
    /// The JSON token that carries it.
    const TOKEN: Token;
    /// The URL of the value set of a required binding, where the type is a closed set of codes.
    const VALUE_SET: Option<&'static str> = None;
    /// The codes of that value set, in its order.
    const CODES: &'static [&'static str] = &[];

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Malformed`] when the text breaks a rule of the type.
    fn from_text(text: &str) -> Result<Self, Malformed>;

    /// Appends the text form, unescaped, to `out`.
    fn push_text(&self, out: &mut String);

    /// Returns the text form where it is at hand without a copy.
    fn as_text(&self) -> Option<&str> {
        None
    }
}

macro_rules! issue_code {
    ($Name:ident, $url:literal, $reason:literal) => {
        impl Scalar for crate::issue::$Name {
            const TYPE: &'static str = "code";
            const TOKEN: Token = Token::String;
            const VALUE_SET: Option<&'static str> = Some($url);
            #[allow(clippy::indexing_slicing)] // evaluated by the compiler, which refuses an index out of bounds
            const CODES: &'static [&'static str] = &const {
                const ALL: &[crate::issue::$Name] = crate::issue::$Name::ALL;
                let mut codes = [""; ALL.len()];
                let mut index = 0;
                while index < ALL.len() {
                    codes[index] = ALL[index].as_str();
                    index += 1;
                }
                codes
            };

            fn from_text(text: &str) -> Result<Self, Malformed> {
                Self::from_code(text).ok_or_else(|| Malformed::new("code", text, $reason))
            }

            fn push_text(&self, out: &mut String) {
                out.push_str(self.as_str());
            }

            fn as_text(&self) -> Option<&str> {
                Some(self.as_str())
            }
        }
    };
}

issue_code!(Severity, "http://hl7.org/fhir/ValueSet/issue-severity", "wants fatal, error, warning or information");
issue_code!(IssueType, "http://hl7.org/fhir/ValueSet/issue-type", "wants a code of the value set issue-type");
