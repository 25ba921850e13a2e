//! The form fields of an upload, and their checks.

use super::super::answer::{Problem, Result};
use super::part::{Part, encoding};
use super::source::Source;
use crate::containment::Selector;
use crate::issue::IssueType;
use crate::manifest::{ActorId, MAX_SEQUENCE, Note, ProductionSpec};
use crate::primitive::{Code, Id, Text};
use crate::service::{IdempotencyKey, Submission};
use crate::update::VersionDowngrade;
use axum::extract::multipart::Field;
use axum::http::StatusCode;
use encoding_rs::{Encoding, UTF_8};

/// Maximum length of a form value, in bytes.
const MAX_VALUE: usize = 4 << 10;

/// Maximum length of a file name, in characters.
const MAX_FILE_NAME: usize = 255;

/// Maximum length of a media type, in characters: twice the maximum of its two parts.
const MAX_MEDIA_TYPE: usize = 255;

/// The names of the fields.
const FIELDS: [&str; 10] = [
    "DeviceId",
    "Component",
    "Version",
    "Sha256",
    "Sequence",
    "Replace",
    "Downgrade",
    "Reason",
    "VersionScheme",
    "Reports",
];

/// The field that names the encoding of later names and values (RFC 7578 section 4.6).
const CHARSET: &str = "_charset_";

/// Returns whether a field of this name describes the update or the form.
pub(crate) fn is_known(name: &str) -> bool {
    name == CHARSET || FIELDS.contains(&name)
}

/// Refuses a field with an unknown name: its meaning would be lost.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if is_known(name) {
        return Ok(());
    }
    let all: Vec<String> = FIELDS.iter().map(|field| format!("`{field}`")).collect();
    let all = all.join(", ");
    let words = match (name, closest(name)) {
        ("", _) => format!("a part of the form has neither a name nor a file name, wanted one of {all}, or a file"),
        (name, Some(field)) => {
            format!("the field `{}` is not known, did you mean `{field}`? wanted one of {all}, or a file", shown(name))
        }
        (name, None) => {
            let name = shown(name);
            format!("the field `{name}` is not known, wanted one of {all}, or a file, which has a `filename`")
        }
    };
    Err(Problem::bad("unknown-field", words))
}

/// Returns a client's name for use in a message.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

/// Returns the most similar field name, if one is similar.
fn closest(name: &str) -> Option<&'static str> {
    let letters = |name: &str| -> String {
        name.chars().take(64).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let name = letters(name);
    let far = |field: &str| strsim::damerau_levenshtein(&name, &letters(field));
    let best = FIELDS.into_iter().map(|field| (far(field), field)).min()?;
    (best.0 <= best.1.len() / 3).then_some(best.1)
}

/// The values of the fields before the file.
#[derive(Debug, Default)]
pub(crate) struct Form {
    values: Vec<(String, String)>,
    charset: Option<&'static Encoding>,
}

impl Form {
    /// Returns the encoding of names and values without one of their own, if the form states it.
    pub(crate) const fn charset(&self) -> Option<&'static Encoding> {
        self.charset
    }

    /// Adds a field with a known name. A repeated field is refused.
    pub(crate) fn take(&mut self, name: String, value: String) -> Result<()> {
        let repeated = match name.as_str() {
            CHARSET => self.charset.replace(encoding(value.trim().as_bytes())?).is_some(),
            name => self.values.iter().any(|(known, _)| known == name),
        };
        if repeated {
            return Err(Problem::bad("repeated-field", format!("the field `{name}` comes twice, wanted it once")));
        }
        if name != CHARSET {
            self.values.push((name, value));
        }
        Ok(())
    }

    /// Returns the value of a field. A browser sends a blank field as an empty text, which counts as absent.
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns whether a permission is given: `true`, `false`, or absent for `false`.
    fn is_given(&self, name: &str) -> Result<bool> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(wrong(name, format_args!("it is `{}`, wanted `true` or `false`", shown(other)))),
        }
    }

    /// Returns the permission to install a version below the reported one. It requires a reason; without it there is no
    /// permission.
    fn downgrade(&self, sender: &ActorId) -> Result<Option<VersionDowngrade>> {
        match (self.is_given("Downgrade")?, self.value("Reason")) {
            (true, Some(reason)) => {
                let reason = Note::new(reason).map_err(|error| wrong("Reason", error))?;
                Ok(Some(VersionDowngrade { reason, by: sender.clone() }))
            }
            (true, None) => Err(wrong("Reason", "it is missing, wanted why the version goes down")),
            (false, Some(_)) => Err(wrong("Reason", "it comes without `Downgrade=true`, wanted both or none")),
            (false, None) => Ok(None),
        }
    }

    /// Returns the production specification of the component that shows the version.
    fn reported_as(&self) -> Result<Option<ProductionSpec>> {
        let kinds = [ProductionSpec::Software, ProductionSpec::Firmware];
        let Some(named) = self.value("Reports") else { return Ok(None) };
        let found = kinds.into_iter().find(|kind| kind.specification_type() == named);
        let words = || format!("it is `{}`, wanted `software-revision` or `firmware-revision`", shown(named));
        found.map(Some).ok_or_else(|| wrong("Reports", words()))
    }

    /// Returns the submission of a file.
    pub(crate) fn submission(
        &self,
        part: &Part,
        file: &Field<'_>,
        key: Option<&str>,
        sender: ActorId,
    ) -> Result<Submission> {
        let Some(device) = self.value("DeviceId") else {
            let words = "the field `DeviceId` is missing; it goes before the file";
            return Err(Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "device-id", words));
        };
        let device = Id::new(device).map_err(|error| wrong("DeviceId", error))?;
        let mut submission = Submission::new(device, file_name(part)?, content_type(file)?);
        if let Some(named) = self.value("Component") {
            submission.target = Selector::Named(Id::new(named).map_err(|error| wrong("Component", error))?);
        }
        if let Some(version) = self.value("Version") {
            submission.version = Some(Text::new(version).map_err(|error| wrong("Version", error))?);
        }
        if let Some(digest) = self.value("Sha256") {
            submission.sha256 = Some(digest.parse().map_err(|error| wrong("Sha256", error))?);
        }
        if let Some(sequence) = self.value("Sequence") {
            let number = sequence.bytes().all(|byte| byte.is_ascii_digit()).then(|| sequence.parse().ok()).flatten();
            let words = || format!("it is `{}`, wanted a number from 0 to {MAX_SEQUENCE}", shown(sequence));
            let number = number.filter(|number| *number <= MAX_SEQUENCE);
            submission.sequence = Some(number.ok_or_else(|| wrong("Sequence", words()))?);
        }
        if let Some(scheme) = self.value("VersionScheme") {
            submission.scheme = Some(scheme.parse().map_err(|error| wrong("VersionScheme", error))?);
        }
        submission.reported_as = self.reported_as()?;
        submission.replace = self.is_given("Replace")?;
        submission.downgrade = self.downgrade(&sender)?;
        submission.sender = Some(sender);
        if let Some(key) = key {
            let key = key.parse::<IdempotencyKey>();
            submission.idempotency_key = Some(key.map_err(|error| wrong("Idempotency-Key", error))?);
        }
        Ok(submission)
    }
}

fn wrong(name: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, IssueType::Value, "field-value", format!("`{name}`: {why}"))
}

fn file_name(part: &Part) -> Result<Text> {
    let name = part.file_name.as_deref().unwrap_or_default();
    if name.chars().count() > MAX_FILE_NAME {
        return Err(wrong("file name", format!("it has more than {MAX_FILE_NAME} characters")));
    }
    Text::new(name).map_err(|error| wrong("file name", error))
}

/// Returns the stated media type of the file. It is stored in the component, and sent in the answer to downloads.
fn content_type(file: &Field<'_>) -> Result<Code> {
    match (file.content_type(), file.headers().contains_key("content-type")) {
        (Some(named), _) if named.len() > MAX_MEDIA_TYPE => {
            Err(wrong("content type of the file", format!("it has more than {MAX_MEDIA_TYPE} characters")))
        }
        (Some(named), _) if !is_media_type(named) => {
            Err(wrong("content type of the file", format_args!("`{named}` is no media type")))
        }
        (Some(named), _) => Code::new(named).map_err(|error| wrong("content type of the file", error)),
        (None, false) => {
            Code::new("application/octet-stream").map_err(|error| wrong("content type of the file", error))
        }
        (None, true) => Err(wrong("content type of the file", "it is no media type")),
    }
}

/// Returns whether a text has the form of a media type: two tokens, and optional parameters.
fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim_end_matches(' ').split_once('/');
    let quoted = |value: &str| value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    essence.is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
        && parts.all(|parameter| {
            let pair = parameter.trim_matches(' ').split_once('=');
            pair.is_some_and(|(name, value)| is_token(name) && (is_token(value) || quoted(value)))
        })
}

/// Returns the text of a field, unless it is too long: in the encoding of the part, else of the form, else UTF-8.
pub(crate) async fn text(
    field: &mut Field<'_>,
    part: &Part,
    charset: Option<&'static Encoding>,
    source: &Source,
) -> Result<std::result::Result<String, axum::extract::multipart::MultipartError>> {
    let mut bytes = Vec::new();
    loop {
        source.step();
        match field.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        }
        if bytes.len() > MAX_VALUE {
            let words = format!("the field `{}` has more than {MAX_VALUE} bytes", shown(&part.name));
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "field-too-large", words));
        }
    }
    let charset = part.charset.or(charset).unwrap_or(UTF_8);
    match charset.decode_without_bom_handling_and_without_replacement(&bytes) {
        Some(text) => Ok(Ok(text.into_owned())),
        None => {
            Err(wrong(&shown(&part.name), format_args!("it is not {}, wanted it or a `_charset_`", charset.name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_is_two_tokens_and_parameters() {
        for text in ["a/b", "application/vnd.acme+zip", "text/html; charset=utf-8", "a/b;c=\"d e\" ; f=g"] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["", "a", "a/", "/b", "a/b/c", "a/b;", "a/b; c", "a/b; c=", "a /b", "a/b c", "a/\u{e9}", "*/\n"] {
            assert!(!is_media_type(text), "{text}");
        }
    }

    #[test]
    fn misspelt_field_gets_a_suggestion() {
        for (name, field) in [
            ("Verison", Some("Version")),
            ("Sha-256", Some("Sha256")),
            ("SHA_256", Some("Sha256")),
            ("version", Some("Version")),
            ("deviceID", Some("DeviceId")),
            ("Device", Some("DeviceId")),
            ("Seqence", Some("Sequence")),
            ("firmware", None),
            ("", None),
            ("\u{202e}", None),
        ] {
            assert_eq!(closest(name), field, "{name}");
        }
        assert_eq!(closest(&"Version".repeat(10_000)), None);
    }
}
