//! What an upload may say: the fields of `POST /TENANT/updates`, what they default to, and why an upload is refused.
//!
//! # Fields
//!
//! The body is `multipart/form-data` (RFC 7578). The fields come before the file; each comes once, and an empty one says
//! nothing. Names are compared exactly: a field of another name is refused with 400 `unknown-field`, and the answer names the
//! field that was probably meant.
//!
//! | field | value | without it |
//! |---|---|---|
//! | `DeviceId` | the id of the Device | refused: 400 `device-id` |
//! | `Component` | the id of a DeviceComponent, or its level: `mds`, `vmd` or `channel` | the only component that can be meant |
//! | `Version` | the version as its maker writes it | no version is claimed or compared |
//! | `Sha256` | the digest of the file, 64 hexadecimal digits | the digest is taken from the bytes |
//! | `Sequence` | the place among the updates of the component, a number from 0 to 2<sup>63</sup> - 1 ([`MAX_SEQUENCE`](crate::manifest::MAX_SEQUENCE)) | none, as long as the component accepted none |
//! | `Replace` | `true`: the version may stand for other bytes from now on | `false` |
//! | `Downgrade` | `true`: the version may be lower than the one that the component reports; needs `Reason` | `false` |
//! | `Reason` | why it is lower; only with `Downgrade=true` | |
//! | `VersionScheme` | how versions are compared, as `semver` ([`VersionScheme`](crate::manifest::VersionScheme)) | versions that have no scheme are not ordered |
//! | `Reports` | which production specification shows the version: `software-revision` or `firmware-revision` | `software-revision` |
//! | `_charset_` | the encoding of names and values that do not say it themselves | `UTF-8` |
//!
//! Exactly one part is the file: it has a `filename` or a `filename*` (RFC 8187), and may have a `Content-Type`. The header
//! `Idempotency-Key` makes a repetition safe: the same key with the same content is answered with 200 and what is true then.
//!
//! # Refusals
//!
//! Each is an OperationOutcome that says what was found and what was wanted; `details.coding` has the rule.
//!
//! | status | rule | reason |
//! |---|---|---|
//! | 400 | `unknown-field`, `repeated-field`, `field-value`, `device-id` | a field that is not known, comes twice, has a wrong value, or is missing |
//! | 400 | `no-file`, `empty-file`, `file-broke-off`, `multipart` | no file, one without bytes, one that ended early, or no form |
//! | 400 | `part-header`, `charset` | a header that can be read in two ways; a `Content-Transfer-Encoding` other than `binary`, `8bit` or `7bit`; an unknown encoding |
//! | 400 | `hidden-character` | a control or direction character in a name or version |
//! | 400 | `sequence-too-high`, `version-form` | a number beyond the highest; a version that its scheme cannot read |
//! | 404 | `no-such-device` | the tenant has no such Device |
//! | 408 | `timeout` | nothing came for too long |
//! | 409 | `idempotency-key-reused` | the same key came with other content |
//! | 409 | `version-taken` | the version stands for other bytes: send `Replace=true` if it shall |
//! | 409 | `not-higher`, `superseded` | the sequence number is not higher than the one that was accepted. An operator lowers that: `PUT /TENANT/sequences/COMPONENT` |
//! | 409 | `unsequenced` | there is no sequence number, and the component accepted one |
//! | 410 | `withdrawn`, `component-deleted` | the upload was withdrawn, or its component deleted |
//! | 413 | `too-large`, `field-too-large`, `form-too-large`, `too-many-parts` | beyond a limit of the table below |
//! | 415 | `content-type`, `media-type` | no form, or a media type of the file that is not taken |
//! | 422 | `digest-mismatch` | the bytes are not those of `Sha256` |
//! | 422 | `ambiguous-target`, `no-such-component`, `unfit-target` | several components can be meant, which are listed, or none, or one that takes no update |
//! | 422 | `lower-version` | the component reports a higher version: send `Downgrade=true` and `Reason` if that is meant |
//! | 503 | `contended`, `store-mismatch` | others write to the component, or an operator has to look ([`restore`](super::restore)) |
//!
//! # Limits
//!
//! | limit | default |
//! |---|---|
//! | file (`--max-upload`) | 1 GiB |
//! | time without progress (`--upload-timeout`), after which an upload is aborted | an hour |
//! | parts of a form | 32 |
//! | value of a field | 4 KiB |
//! | name of a file, and media type | 255 characters each |
//! | fields and headers of parts, before the file and after it | 64 KiB each |
