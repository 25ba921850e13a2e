//! Fields of `POST /TENANT/updates`, their defaults, and the reasons for refusing an upload.
//!
//! # Fields
//!
//! The body is `multipart/form-data` (RFC 7578). The fields come before the file, each at most once, and an empty field
//! counts as missing. Names are compared exactly: an unknown field is refused with 400 `unknown-field`, and the answer
//! names the field that was probably intended.
//!
//! | field | value | without it |
//! |---|---|---|
//! | `DeviceId` | the id of the Device | refused: 400 `device-id` |
//! | `Component` | the id of a DeviceComponent, or its level: `mds`, `vmd` or `channel` | the only possible component |
//! | `Version` | the version as named by the manufacturer | no version is claimed or compared |
//! | `Sha256` | the digest of the file, 64 hexadecimal digits | the digest is computed from the bytes |
//! | `Sequence` | the sequence number among the updates of the component, from 0 to 2<sup>63</sup> - 1 ([`MAX_SEQUENCE`](crate::manifest::MAX_SEQUENCE)) | none, as long as the component accepted none |
//! | `Replace` | `true`: the version may belong to other bytes from now on | `false` |
//! | `Downgrade` | `true`: the version may be lower than the one that the component reports; needs `Reason` | `false` |
//! | `Reason` | reason of the downgrade; only with `Downgrade=true` | |
//! | `VersionScheme` | scheme by which versions are compared, such as `semver` ([`VersionScheme`](crate::manifest::VersionScheme)) | versions without a common scheme are not ordered |
//! | `Reports` | production specification that shows the version: `software-revision` or `firmware-revision` | `software-revision`, or `firmware-revision` if the component reports no software revision |
//! | `_charset_` | the encoding of names and values without one of their own | `UTF-8` |
//!
//! Exactly one part is the file: it has a `filename` or a `filename*` (RFC 8187), and may have a `Content-Type`. The
//! header `Idempotency-Key` makes a repetition safe: the same key with the same content is answered with 200 and the
//! current state.
//!
//! # Refusals
//!
//! Each refusal is an OperationOutcome with the value found and the value wanted; `details.coding` has the rule.
//!
//! | status | rule | reason |
//! |---|---|---|
//! | 400 | `unknown-field`, `repeated-field`, `field-value`, `device-id` | a field that is unknown, repeated, has a wrong value, or is missing |
//! | 400 | `no-file`, `empty-file`, `file-broke-off`, `multipart` | no file, an empty or truncated one, or no form |
//! | 400 | `part-header`, `charset` | an ambiguous header; a `Content-Transfer-Encoding` other than `binary` (also the `8bit` of old clients); an unknown encoding |
//! | 400 | `hidden-character` | a control or direction character in a name or version |
//! | 400 | `sequence-too-high`, `version-form` | a number beyond the highest; a version that does not follow its scheme |
//! | 404 | `no-such-device` | the tenant has no such Device |
//! | 408 | `timeout` | no bytes arrived for too long |
//! | 409 | `idempotency-key-reused` | the same key was used with other content |
//! | 409 | `version-taken` | the version belongs to other bytes: send `Replace=true` to replace them |
//! | 409 | `not-higher`, `superseded` | the sequence number is not above the accepted one. An operator lowers that: `PUT /TENANT/sequences/COMPONENT` |
//! | 409 | `unsequenced` | the sequence number is missing, and the component accepted one before |
//! | 410 | `withdrawn`, `component-deleted` | the upload was withdrawn, or its component deleted |
//! | 413 | `too-large`, `field-too-large`, `form-too-large`, `too-many-parts` | beyond a limit of the table below |
//! | 415 | `content-type`, `media-type` | no form, or a media type of the file that is not accepted |
//! | 422 | `digest-mismatch` | the bytes do not match `Sha256` |
//! | 422 | `ambiguous-target`, `no-such-component`, `unfit-target` | several components match, which are listed, or none, or one that accepts no update |
//! | 422 | `lower-version` | the component reports a higher version: send `Downgrade=true` and `Reason` for a downgrade |
//! | 503 | `contended`, `store-mismatch` | other writers change the component, or an operator must act ([`restore`](super::restore)) |
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
