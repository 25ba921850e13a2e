//! Items and partitions of the container.

use crate::search::{Criteria, IndexEntries, Parameter, ResourceType, Token};
use crate::store::{Key, Result, StoreError, Tenant, Version, VersionId, Write, WriteId, commit_time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Bytes encoded as JSON.
///
/// A text is written as it is, unless its escapes would make it longer than base64 does: so no body grows by more than a
/// third.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodedBody {
    Text(String),
    Base64(String),
}

impl EncodedBody {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let escaped = |text: &str| text.bytes().map(escaped_length).fold(0_usize, usize::saturating_add);
        match std::str::from_utf8(bytes) {
            Ok(text) if escaped(text) <= bytes.len() / 3 * 4 => Self::Text(text.into()),
            _ => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// Returns how many bytes it has as it is carried.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Base64(text) => text.len(),
        }
    }

    pub(super) fn bytes(&self) -> Result<Bytes> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Base64(text) => STANDARD.decode(text).map(Bytes::from).map_err(|_| corrupt("a body is no base64")),
        }
    }
}

fn escaped_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 | 0x7f => 6,
        _ => 1,
    }
}

pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::corrupt(what.into())
}

/// One version of a resource: the newest under the name of the resource, each older one under a name of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) pk: String,
    /// `TENANT|TYPE`, while it is the newest version and lives: what searches look among.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<String>,
    /// The name of the newest version, where this is an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<String>,
    #[serde(rename = "type")]
    pub(super) resource_type: ResourceType,
    pub(super) rid: String,
    pub(super) version: u64,
    /// As [`time_text`] writes it: a number of JSON holds too few digits.
    pub(super) time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) write_id: Option<WriteId>,
    /// Which try of which commit wrote it.
    pub(super) nonce: String,
    /// None for a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<EncodedBody>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<Index>,
    #[serde(rename = "_etag", default, skip_serializing)]
    pub(super) etag: String,
}

/// The index entries, in the forms in which searches ask for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(rename = "e")]
    entries: Vec<(Parameter, Option<String>, String)>,
    #[serde(rename = "v")]
    values: Vec<String>,
    #[serde(rename = "t")]
    tokens: Vec<String>,
    #[serde(rename = "s")]
    systems: Vec<String>,
    /// All values, each behind a mark.
    #[serde(rename = "b")]
    starts: String,
}

impl Index {
    fn new(entries: &IndexEntries) -> Self {
        let mut index = Self::default();
        for (parameter, token) in entries.iter() {
            index.entries.push((parameter, token.system.as_ref().map(ToString::to_string), token.value.to_string()));
            index.values.push(value(parameter, &token.value));
            index.tokens.push(exact(parameter, token));
            index.systems.extend(token.system.as_ref().map(|of| value(parameter, of)));
            index.starts.push_str(&start(parameter, &token.value));
        }
        for list in [&mut index.values, &mut index.systems] {
            list.sort_unstable();
            list.dedup();
        }
        index
    }

    fn entries(&self) -> IndexEntries {
        let token = |(parameter, system, value): &(Parameter, Option<String>, String)| {
            (*parameter, Token { system: system.as_ref().map(Into::into), value: value.into() })
        };
        self.entries.iter().map(token).collect()
    }
}

/// Returns a value of a parameter, or a system.
pub(super) fn value(parameter: Parameter, value: &str) -> String {
    format!("{parameter}:{value}")
}

/// Returns a token with its system, or with none. The length tells where the system ends.
pub(super) fn exact(parameter: Parameter, token: &Token) -> String {
    match &token.system {
        Some(system) => format!("{parameter}:{}:{system}{}", system.len(), token.value),
        None => format!("{parameter}:-:{}", token.value),
    }
}

/// Returns a value, or the beginning of one, with a mark before it that no text of FHIR holds.
pub(super) fn start(parameter: Parameter, value: &str) -> String {
    format!("\u{1}{parameter}:{value}")
}

/// Returns the name of the newest version: `TYPE.ID`.
pub(super) fn name(key: &Key) -> String {
    format!("{}.{}", key.resource_type(), key.id())
}

/// No id holds a `_`.
pub(super) fn old_name(name: &str, version: u64) -> String {
    format!("{name}_{version}")
}

/// Returns nanoseconds since 1970 as a text that has its place in the order of times: of the times from 1970 to 2286 each has as
/// many digits.
pub(super) fn time_text(nanos: i128) -> String {
    format!("{nanos:019}")
}

pub(super) fn live(tenant: &Tenant, resource_type: ResourceType) -> String {
    format!("{tenant}|{resource_type}")
}

/// Returns the partition of a resource that is made by this write: that of its device.
pub(super) fn home(tenant: &Tenant, key: &Key, index: &IndexEntries) -> String {
    if key.resource_type() == ResourceType::Device {
        return partition_of_device(tenant, key);
    }
    let device = index.of(Parameter::Source).find_map(|token| {
        let key: Key = token.value.parse().ok()?;
        (key.resource_type() == ResourceType::Device).then(|| partition_of_device(tenant, &key))
    });
    device.unwrap_or_else(|| format!("{tenant}|alone|{}", name(key)))
}

pub(super) fn partition_of_device(tenant: &Tenant, key: &Key) -> String {
    format!("{tenant}|device|{}", key.id())
}

/// Returns the partition of the one item that tells where a resource is.
pub(super) fn locator_partition(tenant: &Tenant, key: &Key) -> String {
    format!("{tenant}|where|{}", name(key))
}

/// Where a resource is. It never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Locator {
    pub(super) id: String,
    pub(super) pk: String,
    pub(super) home: String,
}

impl Locator {
    pub(super) const ID: &'static str = "where";
}

impl Item {
    /// Returns how many bytes the body has as it is carried.
    pub(super) fn size(&self) -> usize {
        self.body.as_ref().map_or(0, EncodedBody::size)
    }

    /// Returns the version that a write makes, after the one that it found.
    pub(super) fn next(
        tenant: &Tenant,
        home: &str,
        write: &Write,
        newest: Option<&Self>,
        now: OffsetDateTime,
        nonce: &str,
    ) -> Result<Self> {
        let before = newest.map(Self::last_updated).transpose()?;
        let time = commit_time(now, before);
        let (resource_type, rid) = (write.key.resource_type(), write.key.id().to_string());
        Ok(Self {
            id: name(&write.key),
            pk: home.into(),
            live: write.body.is_some().then(|| live(tenant, resource_type)),
            old: None,
            resource_type,
            rid,
            version: newest.map_or(1, |newest| newest.version.saturating_add(1)),
            time: time_text(time.unix_timestamp_nanos()),
            write_id: write.write_id,
            nonce: nonce.into(),
            body: write.body.as_deref().map(EncodedBody::new),
            index: write.body.is_some().then(|| Index::new(&write.index)),
            etag: String::new(),
        })
    }

    /// Returns the item in which this version is kept when another follows it.
    pub(super) fn into_old(self) -> Self {
        let id = old_name(&self.id, self.version);
        Self { old: Some(self.id), id, live: None, index: None, ..self }
    }

    pub(super) fn last_updated(&self) -> Result<OffsetDateTime> {
        let nanos = self.time.parse().ok();
        let time = nanos.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
        time.ok_or_else(|| corrupt(format!("`{}` is not a time", self.time)))
    }

    pub(super) fn version_id(&self) -> Result<VersionId> {
        VersionId::new(self.version).ok_or_else(|| corrupt("a version has the number 0"))
    }

    pub(super) fn key(&self) -> Result<Key> {
        Key::new(self.resource_type, self.rid.as_str()).map_err(|error| corrupt(error.to_string()))
    }

    pub(super) fn to_version(&self) -> Result<Version> {
        Ok(Version {
            key: self.key()?,
            version: self.version_id()?,
            last_updated: self.last_updated()?,
            write_id: self.write_id,
            body: self.body.as_ref().map(EncodedBody::bytes).transpose()?,
        })
    }

    /// Returns the container compares as well, but less exactly.
    pub(super) fn meets(&self, criteria: &Criteria) -> bool {
        let entries = self.index.as_ref().map(Index::entries).unwrap_or_default();
        criteria.matches(&self.rid, &entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_body_round_trips_and_grows_by_a_third() {
        let every: Vec<u8> = (0..=255).collect();
        for bytes in [&b"{\"a\":1}"[..], b"", b"\"", &every, &[0x1; 3000], &[b'"'; 3000], "é\u{7f}".as_bytes()] {
            let carried = EncodedBody::new(bytes);
            assert_eq!(carried.bytes().unwrap(), bytes);
            let written = serde_json::to_string(&carried).unwrap();
            assert!(written.len() <= bytes.len() / 3 * 4 + 24, "{written}");
            assert_eq!(serde_json::from_str::<EncodedBody>(&written).unwrap(), carried);
        }
    }

    #[test]
    fn token_does_not_match_another_system() {
        let tokens = [Token::new("a", "bc"), Token::new("ab", "c"), Token::new("", "abc"), Token::bare("abc")];
        let texts: std::collections::HashSet<_> = tokens.iter().map(|t| exact(Parameter::Type, t)).collect();
        assert_eq!(texts.len(), tokens.len());
    }
}
