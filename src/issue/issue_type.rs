//! Severity and type of an issue.

use crate::support::UnknownName;
use serde_with::{DeserializeFromStr, SerializeDisplay};
use std::fmt;
use std::str::FromStr;

/// Severity of an issue, ordered from the most to the least severe.
///
/// The value set is `http://hl7.org/fhir/ValueSet/issue-severity` (FHIR 3.0.2, required).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum Severity {
    /// `fatal`: The document could not be read to its end.
    Fatal,
    /// `error`: The content must not be used as it is.
    Error,
    /// `warning`: The content may be used, but its author should check it.
    Warning,
    /// `information`: Not a fault.
    Information,
}

impl Severity {
    /// Every code, in the order of the value set.
    pub const ALL: &'static [Self] = &[Self::Fatal, Self::Error, Self::Warning, Self::Information];

    /// Returns the code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }

    /// Returns the severity with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == code)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// FHIR issue type.
///
/// The value set is `http://hl7.org/fhir/ValueSet/issue-type` (FHIR 3.0.2, required).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub enum IssueType {
    /// `invalid`: The content violates the specification.
    Invalid,
    /// `structure`: The structure is wrong: an unknown member, a wrong JSON type.
    Structure,
    /// `required`: A required element is missing.
    Required,
    /// `value`: An element has a value that its type does not allow.
    Value,
    /// `invariant`: A rule over several elements is violated.
    Invariant,
    /// `security`: An authentication or authorisation fault.
    Security,
    /// `login`: The client must log in.
    Login,
    /// `unknown`: The user is unknown.
    Unknown,
    /// `expired`: The session has expired.
    Expired,
    /// `forbidden`: The user may not do this.
    Forbidden,
    /// `suppressed`: Some information was withheld.
    Suppressed,
    /// `processing`: The content could not be processed.
    Processing,
    /// `not-supported`: The interaction or content is not supported.
    NotSupported,
    /// `duplicate`: A record of this exists already.
    Duplicate,
    /// `not-found`: The target of a reference was not found.
    NotFound,
    /// `too-long`: The content is too long or too deep.
    TooLong,
    /// `code-invalid`: A code or value set is not known or not allowed.
    CodeInvalid,
    /// `extension`: An extension was not understood or is not allowed here.
    Extension,
    /// `too-costly`: The requested work exceeds a limit.
    TooCostly,
    /// `business-rule`: A business rule is violated.
    BusinessRule,
    /// `conflict`: The content has changed in the meantime.
    Conflict,
    /// `incomplete`: The answer is incomplete.
    Incomplete,
    /// `transient`: A temporary fault.
    Transient,
    /// `lock-error`: A lock could not be acquired.
    LockError,
    /// `no-store`: The store is not available.
    NoStore,
    /// `exception`: An unexpected server fault.
    Exception,
    /// `timeout`: A time limit was exceeded.
    Timeout,
    /// `throttled`: Too many requests.
    Throttled,
    /// `informational`: A note, not a fault.
    Informational,
}

impl IssueType {
    /// Every code, in the order of the value set.
    pub const ALL: &'static [Self] = &[
        Self::Invalid,
        Self::Structure,
        Self::Required,
        Self::Value,
        Self::Invariant,
        Self::Security,
        Self::Login,
        Self::Unknown,
        Self::Expired,
        Self::Forbidden,
        Self::Suppressed,
        Self::Processing,
        Self::NotSupported,
        Self::Duplicate,
        Self::NotFound,
        Self::TooLong,
        Self::CodeInvalid,
        Self::Extension,
        Self::TooCostly,
        Self::BusinessRule,
        Self::Conflict,
        Self::Incomplete,
        Self::Transient,
        Self::LockError,
        Self::NoStore,
        Self::Exception,
        Self::Timeout,
        Self::Throttled,
        Self::Informational,
    ];

    /// Returns the code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Structure => "structure",
            Self::Required => "required",
            Self::Value => "value",
            Self::Invariant => "invariant",
            Self::Security => "security",
            Self::Login => "login",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::Suppressed => "suppressed",
            Self::Processing => "processing",
            Self::NotSupported => "not-supported",
            Self::Duplicate => "duplicate",
            Self::NotFound => "not-found",
            Self::TooLong => "too-long",
            Self::CodeInvalid => "code-invalid",
            Self::Extension => "extension",
            Self::TooCostly => "too-costly",
            Self::BusinessRule => "business-rule",
            Self::Conflict => "conflict",
            Self::Incomplete => "incomplete",
            Self::Transient => "transient",
            Self::LockError => "lock-error",
            Self::NoStore => "no-store",
            Self::Exception => "exception",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Informational => "informational",
        }
    }

    /// Returns the issue type with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == code)
    }
}

impl fmt::Display for IssueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! from_code {
    ($($Name:ident)*) => { $(
        impl FromStr for $Name {
            type Err = UnknownName;

            fn from_str(code: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|one| one.as_str() == code).ok_or(UnknownName)
            }
        }
    )* };
}

from_code!(Severity IssueType);
