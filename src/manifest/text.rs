//! Checked short texts in updates and records. None may hold an address.

use crate::store::InvalidText;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

/// The most characters of a name, and of what a person says.
pub(crate) const LONGEST_LABEL: usize = 128;
pub(crate) const LONGEST_NOTE: usize = 1_000;

/// Returns whether a character cannot be seen, and breaks the line or turns the direction of what can be.
pub(super) fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns the first character of a text that cannot be seen: a control, one that turns the direction, a separator of
/// lines, or one that has no width. Two names that look alike are then the same, and none shows what it does not say.
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

/// Returns what every text of people keeps to: no hidden characters, no white space around it, and neither an address
/// nor a reference to a patient in it.
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

/// Returns whether a text keeps to that.
pub(crate) fn fits(text: &str, longest: usize) -> bool {
    check("", text, longest, "").is_ok()
}

/// The same for the short ones.
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
            /// Checks the text, and keeps it as it is.
            ///
            /// # Errors
            /// [`InvalidText`], which says what is wanted.
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
    /// A comment of at most 1,000 characters.
    ///
    /// It is kept for as long as the records are, so that no address (which may be signed) and no reference to a patient
    /// may be in it. Who writes one leaves out whom the device was at.
    ///
    /// ```
    /// use fhir_devices::manifest::Note;
    /// assert!(Note::new("recalled by the maker, see FSN 2017-04").is_ok());
    /// assert!(Note::new("see https://cdn.example/a?signature=7").is_err());
    /// assert!(Note::new("it was at Patient/12").is_err());
    /// ```
    Note "a note" check_note;

    /// The id of the provider of updates.
    ///
    /// ```
    /// use fhir_devices::manifest::ProviderId;
    /// assert!(ProviderId::new("acme").is_ok());
    /// ```
    ProviderId "a provider" check_label;

    /// The name of an update, the same in every version.
    ///
    /// ```
    /// use fhir_devices::manifest::UpdateName;
    /// assert!(UpdateName::new("infusion-pump/main").is_ok());
    /// ```
    UpdateName "the name of an update" check_label;

    /// A version as its maker writes it. The text has no order of its own.
    ///
    /// ```
    /// use fhir_devices::manifest::VersionLabel;
    /// assert!(VersionLabel::new("2.4 (build 7)").is_ok());
    /// ```
    VersionLabel "a version" check_label;

    /// The name of a key that signs manifests.
    ///
    /// ```
    /// use fhir_devices::manifest::KeyId;
    /// assert!(KeyId::new("acme-2017").is_ok());
    /// ```
    KeyId "the name of a key" check_label;
}

/// The text that is nearest to any: what may not be in one is left out, and what is too long is cut. None where nothing
/// is left.
pub(crate) fn nearest(text: &str, longest: usize) -> Option<String> {
    let visible = |c: char| if is_hidden(c) { ' ' } else { c };
    let text: String = text.replace("://", " ").replace("Patient/", " ").chars().map(visible).take(longest).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Note {
    /// The note that is nearest to any text: what may not be in one is left out, and what is too long is cut. None where
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
