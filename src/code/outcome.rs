//! Codes of OperationOutcome.

codes! {
    /// How an issue bears on what was attempted: `OperationOutcome.issue.severity`.
    IssueSeverity = "http://hl7.org/fhir/ValueSet/issue-severity" {
        /// It failed, and nothing more could be checked.
        Fatal = "fatal",
        /// It failed.
        Error = "error",
        /// It may have gone wrong in part.
        Warning = "warning",
        /// It did not fail, and this is good to know.
        Information = "information",
    }

    /// What kind of issue it is: `OperationOutcome.issue.code`.
    ///
    /// The set is a tree of two levels, and its inner codes may be used too: [`Invalid`](Self::Invalid),
    /// [`Security`](Self::Security), [`Processing`](Self::Processing), [`Transient`](Self::Transient) and
    /// [`Informational`](Self::Informational), each followed here by what it comprises.
    IssueType = "http://hl7.org/fhir/ValueSet/issue-type" {
        /// The content breaks the specification or a profile.
        Invalid = "invalid",
        /// The form is wrong: a syntax error, a wrong type, an unknown property.
        Structure = "structure",
        /// Something that has to be there is missing.
        Required = "required",
        /// A value is wrong in itself.
        Value = "value",
        /// A rule over several values is broken.
        Invariant = "invariant",
        /// Something about identity or permission.
        Security = "security",
        /// The client has to log in.
        Login = "login",
        /// The user, or the system, is not known.
        Unknown = "unknown",
        /// The session has ended.
        Expired = "expired",
        /// The user may not do this.
        Forbidden = "forbidden",
        /// Some information was left out because it is protected.
        Suppressed = "suppressed",
        /// The content is sound, yet it cannot be processed.
        Processing = "processing",
        /// The interaction, resource or profile is not supported.
        NotSupported = "not-supported",
        /// There is one already.
        Duplicate = "duplicate",
        /// What was referred to does not exist.
        NotFound = "not-found",
        /// A value is longer than can be taken.
        TooLong = "too-long",
        /// A code or its system is not known, or not allowed here.
        CodeInvalid = "code-invalid",
        /// An extension is not acceptable or not understood.
        Extension = "extension",
        /// It would take more work than the server is willing to do.
        TooCostly = "too-costly",
        /// A rule of the business forbids it.
        BusinessRule = "business-rule",
        /// Somebody else changed it in the meantime.
        Conflict = "conflict",
        /// Not all results could be had.
        Incomplete = "incomplete",
        /// A passing trouble inside: trying again may help.
        Transient = "transient",
        /// A lock could not be had.
        LockError = "lock-error",
        /// The storage cannot be reached.
        NoStore = "no-store",
        /// An unforeseen failure.
        Exception = "exception",
        /// It took too long.
        Timeout = "timeout",
        /// There were too many requests.
        Throttled = "throttled",
        /// Nothing is wrong; a note for the reader.
        Informational = "informational",
    }
}
