//! Checked short texts of updates and records. None may hold a URL.

use crate::store::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

/// Maximum number of characters of a name, and of a note.
pub(crate) const LONGEST_LABEL: usize = 128;
pub(crate) const LONGEST_NOTE: usize = 1_000;

/// Returns whether a character is a control character, a line separator or a bidirectional mark.
pub(super) fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns the first invisible character of a text: a control character, bidirectional mark, line separator, or
/// character without width. A text without any cannot look like another text and differ from it in these.
///
/// ```
/// use fhir_devices::manifest::hidden_character;
/// assert_eq!(hidden_character("pump-2.4 (\u{fc}).bin"), None);
/// assert_eq!(hidden_character("pump\u{202e}nib.exe"), Some('\u{202e}'));
/// assert_eq!(hidden_character("pump\u{200b}.bin"), Some('\u{200b}'));
/// ```
#[must_use]
pub fn hidden_character(text: &str) -> Option<char> {
    let has_no_width = |c: char| {
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
            || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().find(|c| is_hidden(*c) || has_no_width(*c))
}

/// Checks a text: no control, line-separator or bidirectional characters, no white space at either end, no URL and no
/// reference to a patient.
fn check(what: &'static str, text: &str, longest: usize, too_long: &'static str) -> Result<(), InvalidText> {
    let refuse = |reason| Err(InvalidText::new(what, text, reason));
    if text.is_empty() {
        return refuse("at least one character is wanted");
    }
    if text.len() > longest && text.chars().count() > longest {
        return refuse(too_long);
    }
    if text.trim().len() != text.len() {
        return refuse("no white space is wanted around it");
    }
    if text.chars().any(is_hidden) {
        return refuse("no control characters are wanted");
    }
    if text.contains('/') && text.contains("://") {
        return refuse("no address is wanted");
    }
    if text.contains('/') && text.contains("Patient/") {
        return refuse("no reference to a patient is wanted");
    }
    Ok(())
}

/// Returns whether [`check`] accepts a text.
pub(crate) fn fits(text: &str, longest: usize) -> bool {
    check("", text, longest, "").is_ok()
}

/// Checks a text of at most [`LONGEST_LABEL`] characters.
fn check_label(what: &'static str, text: &str) -> Result<(), InvalidText> {
    check(what, text, LONGEST_LABEL, "at most 128 characters are wanted")
}

fn check_note(what: &'static str, text: &str) -> Result<(), InvalidText> {
    check(what, text, LONGEST_NOTE, "at most 1,000 characters are wanted")
}

macro_rules! texts {
    ($( $(#[$meta:meta])* $Name:ident $what:literal $check:ident; )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
        pub struct $Name(SmolStr);

        impl $Name {
            /// Creates a checked text, stored unchanged.
            ///
            /// # Errors
            /// [`InvalidText`] with the violated condition.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidText> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(SmolStr::new(text)))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $Name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl PartialEq<str> for $Name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $Name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    )* };
}

texts! {
    /// Note of at most 1,000 characters.
    ///
    /// A note is kept as long as the records, so it must not hold a URL (which may be signed) or a reference to a
    /// patient. Authors must not name the patient who used the device.
    ///
    /// ```
    /// use fhir_devices::manifest::Note;
    /// assert!(Note::new("recalled by the maker, see FSN 2017-04").is_ok());
    /// assert!(Note::new("see https://cdn.example/a?signature=7").is_err());
    /// assert!(Note::new("it was at Patient/12").is_err());
    /// ```
    Note "a note" check_note;

    /// Id of a provider of updates.
    ///
    /// ```
    /// use fhir_devices::manifest::ProviderId;
    /// assert!(ProviderId::new("acme").is_ok());
    /// ```
    ProviderId "a provider" check_label;

    /// Name of an update, the same in every version.
    ///
    /// ```
    /// use fhir_devices::manifest::UpdateName;
    /// assert!(UpdateName::new("infusion-pump/main").is_ok());
    /// ```
    UpdateName "the name of an update" check_label;

    /// Version as written by the manufacturer. The text has no order of its own.
    ///
    /// ```
    /// use fhir_devices::manifest::VersionLabel;
    /// assert!(VersionLabel::new("2.4 (build 7)").is_ok());
    /// ```
    VersionLabel "a version" check_label;

    /// Id of a key that signs manifests.
    ///
    /// ```
    /// use fhir_devices::manifest::KeyId;
    /// assert!(KeyId::new("acme-2017").is_ok());
    /// ```
    KeyId "the name of a key" check_label;
}

/// Converts any text into an acceptable one: forbidden parts are removed, and the text is cut to `longest` characters.
/// `None` where nothing is left.
pub(crate) fn nearest(text: &str, longest: usize) -> Option<String> {
    let visible = |c: char| if is_hidden(c) { ' ' } else { c };
    let text: String = text.replace("://", " ").replace("Patient/", " ").chars().map(visible).take(longest).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Note {
    /// Creates a note from any text: forbidden parts are removed, and the text is cut to 1,000 characters. `None` where
    /// nothing is left.
    ///
    /// ```
    /// use fhir_devices::manifest::Note;
    /// let note = Note::about("see\nhttps://cdn.example/a").unwrap();
    /// assert_eq!(note, "see https cdn.example/a");
    /// assert_eq!(Note::about(" \n"), None);
    /// ```
    #[must_use]
    pub fn about(text: &str) -> Option<Self> {
        Self::new(nearest(text, LONGEST_NOTE)?).ok()
    }
}
