//! Enums whose members are written by name.

/// Error for a name that is not in its set, or was added by a later version of this crate.
///
/// ```
/// use fhir_devices::audit::UploadFailure;
/// assert_eq!("sold-out".parse::<UploadFailure>().unwrap_err().to_string(), "the name is not known here");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name is not known here")]
#[non_exhaustive]
pub struct UnknownName;

/// Declares an enum without fields, the names of its members, and both conversions.
macro_rules! names {
    ($(#[$meta:meta])* $Name:ident { $($(#[$doc:meta])* $Member:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde_with::SerializeDisplay, serde_with::DeserializeFromStr,
        )]
        #[non_exhaustive]
        pub enum $Name {
            $($(#[$doc])* $Member,)+
        }

        impl $Name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$Member),+];

            /// Returns the name in records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Member => $name,)+
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $Name {
            type Err = $crate::support::UnknownName;

            fn from_str(name: &str) -> Result<Self, $crate::support::UnknownName> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name).ok_or($crate::support::UnknownName)
            }
        }
    };
}

pub(crate) use names;
