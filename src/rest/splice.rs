//! The stored bytes of a version with its number and its time put in, as a client reads them.

use super::Body;
use crate::primitive::Instant;
use crate::store::{Result, StoreError, Version, to_millisecond, typed};
use bytes::Bytes;

/// Returns the resource of a version as JSON, with `meta.versionId` and `meta.lastUpdated`.
///
/// A body in the form in which this crate writes is not read: the two members are put in where they belong. Any other is
/// read and written again.
///
/// ```
/// use fhir_devices::rest::stamped;
/// use fhir_devices::store::{Key, Version, VersionId};
/// use fhir_devices::search::ResourceType;
/// let version = Version {
///     key: Key::new(ResourceType::Device, "pump")?,
///     version: VersionId::FIRST,
///     last_updated: time::OffsetDateTime::UNIX_EPOCH,
///     write_id: None,
///     body: Some(r#"{"resourceType":"Device","id":"pump","model":"P9"}"#.into()),
/// };
/// let json = r#"{"resourceType":"Device","id":"pump","meta":{"versionId":"1","lastUpdated":"1970-01-01T00:00:00Z"},"model":"P9"}"#;
/// assert_eq!(stamped(&version)?, json.as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StoreError::Gone`] for a deletion, [`StoreError::Corrupt`] when the body cannot be read.
pub fn stamped(version: &Version) -> Result<Vec<u8>> {
    stamped_body(version).map(|body| body.to_vec())
}

/// Returns the same, sharing the bytes of the version where they are as they are stored.
pub(super) fn stamped_body(version: &Version) -> Result<Body> {
    let Some(body) = &version.body else { return Err(StoreError::gone(version.version)) };
    Ok(match spliced(version, body) {
        Some(json) => json,
        None => typed(version)?.to_json().into(),
    })
}

fn spliced(version: &Version, body: &Bytes) -> Option<Body> {
    const META: &[u8] = b",\"meta\":{";
    let (kind, id) = (version.key.resource_type().as_str(), version.key.id().as_str());
    let rest = body.strip_prefix(b"{\"resourceType\":\"")?.strip_prefix(kind.as_bytes())?;
    let rest = rest.strip_prefix(b"\",\"id\":\"")?.strip_prefix(id.as_bytes())?.strip_prefix(b"\"")?;
    let head = body.get(..body.len() - rest.len())?;
    let (closing, rest) = match rest.strip_prefix(META) {
        // Nothing stands before these in `meta` but an id and extensions.
        Some(rest) if [&b"\"profile\":"[..], b"\"security\":", b"\"tag\":"].iter().any(|m| rest.starts_with(m)) => {
            (&b","[..], rest)
        }
        Some(_) => return None,
        // Where another program wrote the body, it may have put `meta` elsewhere.
        None if rest.starts_with(b",\"_id\"") || has(rest, b"\"meta\"") => return None,
        None => (&b"}"[..], rest),
    };
    let number = version.version.to_string();
    let time = Instant::try_from(to_millisecond(version.last_updated)).ok()?;
    let mut json = Vec::with_capacity(head.len() + 128);
    for part in [
        head,
        META,
        b"\"versionId\":\"",
        number.as_bytes(),
        b"\",\"lastUpdated\":\"",
        time.as_str().as_bytes(),
        b"\"",
        closing,
    ] {
        json.extend_from_slice(part);
    }
    let mut whole = Body::default();
    whole.push(json);
    whole.push(body.slice_ref(rest));
    Some(whole)
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::ResourceType;
    use crate::store::{Key, VersionId};

    fn version(body: &str) -> Version {
        Version {
            key: Key::new(ResourceType::Device, "p").unwrap(),
            version: VersionId::new(12).unwrap(),
            last_updated: time::macros::datetime!(2017-04-19 10:00:00.125_789 UTC),
            write_id: None,
            body: Some(body.to_owned().into()),
        }
    }

    #[test]
    fn splice_equals_parse_and_write() {
        for (body, fast) in [
            (r#"{"resourceType":"Device","id":"p"}"#, true),
            (r#"{"resourceType":"Device","id":"p","model":"meta"}"#, false),
            (r#"{"resourceType":"Device","id":"p","language":"de","model":"x"}"#, true),
            (r#"{"resourceType":"Device","id":"p","meta":{"tag":[{"code":"a"}]},"model":"x"}"#, true),
            (r#"{"resourceType":"Device","id":"p","meta":{"security":[{"code":"a"}]}}"#, true),
            (r#"{"resourceType":"Device","id":"p","meta":{"profile":["http://x/p"]},"model":"x"}"#, true),
            (r#"{"resourceType":"Device","id":"p","meta":{"id":"m","tag":[{"code":"a"}]}}"#, false),
            (r#"{"resourceType":"Device","id":"p","meta":{"versionId":"3","tag":[{"code":"a"}]}}"#, false),
            (r#"{"resourceType":"Device","id":"p","_id":{"id":"x"},"model":"x"}"#, false),
            (r#"{"resourceType":"Device","id":"p","model":"x","meta":{"tag":[{"code":"a"}]}}"#, false),
            (r#"{"id":"p","resourceType":"Device","model":"x"}"#, false),
        ] {
            let version = version(body);
            let spliced = spliced(&version, &Bytes::from(body));
            assert_eq!(spliced.is_some(), fast, "{body}");
            let slow = typed(&version).unwrap().to_json();
            assert_eq!(String::from_utf8(stamped(&version).unwrap()).unwrap(), slow, "{body}");
        }
    }

    #[test]
    fn body_with_another_id_is_not_served_raw() {
        assert!(stamped(&version("{")).is_err());
        assert!(stamped(&version(r#"{"resourceType":"Patient","id":"p"}"#)).is_err());
    }
}
