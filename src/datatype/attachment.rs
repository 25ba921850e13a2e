//! Files, notes and signatures.

use super::code_checks::check_language;
use super::{Coding, Primitive, Reference, target};
use crate::element::Value;
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Base64, Code, DateTime, Instant, Text, UnsignedInt, Uri};
use sha1::{Digest as _, Sha1};

datatype! {
    /// A file: its bytes or their URL.
    #[derive(Default)]
    pub struct Attachment is "Attachment" at "Attachment" {
        /// The media type.
        content_type "contentType" [0..1] Primitive<Code>;
        /// The language of the content.
        language "language" [0..1] Primitive<Code>;
        /// The bytes.
        data "data" [0..1] Primitive<Base64>;
        /// The URL of the bytes.
        url "url" [0..1] Primitive<Uri>;
        /// The number of bytes.
        size "size" [0..1] Primitive<UnsignedInt>;
        /// The SHA-1 digest of the bytes; good for interoperation, never for trust.
        hash "hash" [0..1] Primitive<Base64>;
        /// What to call the file.
        title "title" [0..1] Primitive<Text>;
        /// When the file was made.
        creation "creation" [0..1] Primitive<DateTime>;
    }
    rules {
        "att-1", "an attachment with data says its content type",
            |attachment| attachment.data.is_none() || attachment.content_type.is_some();
    }
    also check_attachment;
}

/// The length of a SHA-1 digest in bytes.
const SHA_1: usize = 20;

/// Checks size and hash against the bytes.
fn check_attachment(attachment: &Attachment, at: &Path<'_>, report: &mut Report) {
    if let Some(language) = attachment.language.as_ref().and_then(|language| language.value.as_ref()) {
        check_language(language.as_str(), &at.child("language"), "Attachment.language", report);
    }
    let hash = attachment.hash.as_ref().and_then(|hash| hash.value.as_ref());
    let size = attachment.size.as_ref().and_then(|size| size.value.as_ref());
    if hash.is_none() && size.is_none() {
        return;
    }
    let mut find = |rule: &'static str, severity: Severity, row: &'static str, message: String| {
        report.push(Issue::new(rule, severity, IssueType::Value, at, message).with_row(row));
    };
    let data = attachment.data.as_ref().and_then(|data| data.value.as_ref()).map(Base64::decode);
    if let Some(hash) = hash {
        let digest = hash.decode();
        if digest.len() != SHA_1 {
            let message = format!("the hash has {} bytes, wanted the {SHA_1} of a SHA-1 digest", digest.len());
            find("attachment-hash", Severity::Warning, "Attachment.hash", message);
        } else if let Some(data) = &data {
            let own = Sha1::digest(data);
            if own.as_slice() != digest.as_slice() {
                let own = Base64::encode(&own).map_or_else(|_| String::new(), |own| own.to_string());
                let message = format!("the hash is `{hash}`, and that of the data is `{own}`");
                find("attachment-hash", Severity::Error, "Attachment.hash", message);
            }
        }
    }
    if let (Some(size), Some(data)) = (size, &data)
        && usize::try_from(size.get()).ok() != Some(data.len())
    {
        let message = format!("the size is {size}, and the data has {} bytes", data.len());
        find("attachment-size", Severity::Error, "Attachment.size", message);
    }
}

choice! {
    /// The author of an [`Annotation`].
    pub enum AuthorChoice "author" {
        /// `authorReference`: a person with a record.
        Reference Reference<target::Author>;
        /// `authorString`: a name.
        String Primitive<Text>;
    }
}

datatype! {
    /// A note, with its author and its time.
    pub struct Annotation is "Annotation" at "Annotation" {
        /// The author.
        author "author[x]" [x 0..1] AuthorChoice;
        /// When it was written.
        time "time" [0..1] Primitive<DateTime>;
        /// The note.
        text "text" [1..1] Primitive<Text>;
    }
}

impl Annotation {
    /// Creates a note.
    #[must_use]
    pub fn new(text: Text) -> Self {
        Self { text: text.into(), ..Self::blank() }
    }
}

choice! {
    /// The signer.
    pub enum SignerChoice "who" {
        /// `whoUri`: an address.
        Uri Primitive<Uri>;
        /// `whoReference`: a resource.
        Reference Reference<target::Signer>;
    }
}

choice! {
    /// The party on whose behalf the signature was made.
    pub enum OnBehalfOf "onBehalfOf" {
        /// `onBehalfOfUri`: an address.
        Uri Primitive<Uri>;
        /// `onBehalfOfReference`: a resource.
        Reference Reference<target::Signer>;
    }
}

datatype! {
    /// A digital signature.
    pub struct Signature is "Signature" at "Signature" {
        /// Why it was signed.
        r#type "type" [1..*] Coding;
        /// When it was signed.
        when "when" [1..1] Primitive<Instant>;
        /// The signer.
        who "who[x]" [x 1..1] SignerChoice;
        /// For whom it was signed.
        on_behalf_of "onBehalfOf[x]" [x 0..1] OnBehalfOf;
        /// The technical format of the signature.
        content_type "contentType" [0..1] Primitive<Code>;
        /// The signature itself.
        blob "blob" [0..1] Primitive<Base64>;
    }
}

impl Signature {
    /// Creates a signature.
    #[must_use]
    pub fn new(reason: Coding, when: Instant, who: SignerChoice) -> Self {
        Self { r#type: vec![reason], when: when.into(), who: Some(who), ..Self::blank() }
    }
}
