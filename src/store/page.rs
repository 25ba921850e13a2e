//! Pages and page tokens.

use super::random::random_bytes;
use super::{Changes, InvalidText, Key, LedgerKey, Result, Search, SearchOrder, StoreError, Tenant};
use crate::search::{Criterion, ResourceType};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One page of results, with the token of the next page.
///
/// `items` may be empty while `next` is `Some`: only `next: None` marks the end.
///
/// ```
/// use fhir_devices::store::Page;
/// let last = Page { items: vec![1, 2], next: None };
/// assert_eq!(last.items.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// Token of the next page.
    pub next: Option<PageToken>,
}

/// Opaque position where a page ended: at most 1,024 characters of letters, digits, `-`, `_` and `.`.
///
/// A token is valid only for the tenant and the query that it was returned for; see [`PageKey`].
///
/// ```
/// use fhir_devices::store::PageToken;
/// assert!("v1.AAAA".parse::<PageToken>().is_ok());
/// assert!("v1.AA/AA".parse::<PageToken>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct PageToken(Arc<str>);

impl PageToken {
    const MAX: usize = 1024;

    /// Returns the text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PageToken {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let refuse = |reason| InvalidText::new("a page token", text, reason);
        if text.is_empty() || text.len() > Self::MAX {
            return Err(refuse("1 to 1024 characters are wanted"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(refuse("only letters, digits, `-`, `_` and `.` are allowed"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageToken({} bytes)", self.0.len())
    }
}

/// Decodes a position that is a text.
pub(crate) fn text_place(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// Decodes a position that is a version number.
pub(crate) fn version_place(bytes: Vec<u8>) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Decodes a position that is the text of a `T`.
pub(crate) fn parsed_place<T: FromStr>(bytes: Vec<u8>) -> Option<T> {
    text_place(bytes)?.parse().ok()
}

/// Query that a page token is bound to.
///
/// ```
/// use fhir_devices::store::{PageQuery, Search};
/// use fhir_devices::search::ResourceType;
/// let search = Search::new(ResourceType::Device);
/// let query = PageQuery::Search(&search);
/// # let _ = query;
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PageQuery<'a> {
    /// A search, whatever its `limit`, `after` and order of criteria.
    Search(&'a Search),
    /// The history of one resource.
    History(&'a Key),
    /// The versions of all resources, whatever the `limit` and `after`.
    Changes(&'a Changes),
    /// The blobs of a tenant.
    Blobs,
    /// The records of a ledger under a prefix.
    Ledger(&'a LedgerKey),
}

/// Secret key with which a store seals page tokens and recognises its own.
///
/// A token holds the position where the page ended and a keyed hash (16 bytes of HMAC-SHA-256) over that position, the
/// tenant and the query. The position is not encrypted: it must not be a secret.
///
/// ```
/// use fhir_devices::store::{PageKey, PageQuery, Tenant};
/// let key = PageKey::random();
/// let (ours, theirs): (Tenant, Tenant) = ("ours".parse()?, "theirs".parse()?);
/// let token = key.seal(&ours, PageQuery::Blobs, b"place")?;
/// assert_eq!(key.open(&ours, PageQuery::Blobs, &token)?, b"place");
/// assert!(key.open(&theirs, PageQuery::Blobs, &token).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PageKey(Option<[u8; 32]>);

impl PageKey {
    const TAG: usize = 16;
    const PREFIX: &'static str = "v1.";

    /// Creates a key for this process from the randomness of the operating system: tokens do not outlive the process.
    /// Where no randomness is available, [`seal`](Self::seal) and [`open`](Self::open) fail.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bytes().ok())
    }

    /// Creates a key that several processes share, or that outlives one. It must be random and kept secret.
    #[must_use]
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Some(key))
    }

    /// Returns the token for the position where a page ended.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `place` is longer than a token can hold; 700 bytes always fit.
    /// [`StoreError::Unavailable`] when the key could not be made.
    pub fn seal(&self, tenant: &Tenant, query: PageQuery<'_>, place: &[u8]) -> Result<PageToken> {
        let mut bytes = place.to_vec();
        let tag = self.mac(tenant, query, place)?.finalize().into_bytes();
        bytes.extend(tag.iter().take(Self::TAG));
        let text = format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes));
        Ok(text.parse::<PageToken>()?)
    }

    /// Returns the position that a token holds.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the token is damaged, or was made with another key or for another tenant or query;
    /// [`StoreError::Unavailable`] when the key could not be made.
    pub fn open(&self, tenant: &Tenant, query: PageQuery<'_>, token: &PageToken) -> Result<Vec<u8>> {
        let refused = || StoreError::invalid("the page token is damaged, or belongs to another query");
        let (place, tag) = Self::parts(token).ok_or_else(refused)?;
        // The comparison takes constant time.
        self.mac(tenant, query, &place)?.verify_truncated_left(&tag).map_err(|_| refused())?;
        Ok(place)
    }

    /// Returns the position of a token, if there is one, decoded by `read`.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreError::Invalid`] for a position that `read` does not know.
    pub(crate) fn place<T>(
        &self,
        tenant: &Tenant,
        query: PageQuery<'_>,
        token: Option<&PageToken>,
        read: impl FnOnce(Vec<u8>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(token) = token else { return Ok(None) };
        let other = || StoreError::invalid("the page token is of another store");
        read(self.open(tenant, query, token)?).ok_or_else(other).map(Some)
    }

    /// Splits a token into its position and its tag of [`Self::TAG`] bytes.
    fn parts(token: &PageToken) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token.as_str().strip_prefix(Self::PREFIX)?).ok()?;
        let tag = bytes.split_off(bytes.len().checked_sub(Self::TAG)?);
        Some((bytes, tag))
    }

    fn mac(&self, tenant: &Tenant, query: PageQuery<'_>, place: &[u8]) -> Result<Hmac<Sha256>> {
        let unavailable = |source| StoreError::unavailable(None, Some(source));
        let key = self.0.ok_or_else(|| unavailable("the operating system gave no random key".into()))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| unavailable(error.to_string().into()))?;
        field(&mut mac, tenant.as_str());
        hash_query(&mut mac, query);
        mac.update(place);
        Ok(mac)
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(..)")
    }
}

/// Hashes a text with its length before it, so that no two queries hash the same bytes.
fn field(hash: &mut Hmac<Sha256>, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn hash_query(hash: &mut Hmac<Sha256>, query: PageQuery<'_>) {
    match query {
        PageQuery::Search(search) => {
            field(hash, "search");
            hash_type(hash, search.resource_type);
            let mut criteria: Vec<_> = search.all_of.iter().collect();
            criteria.sort();
            hash.update(&(criteria.len() as u64).to_le_bytes());
            criteria.into_iter().for_each(|criterion| hash_criterion(hash, criterion));
            match search.order {
                SearchOrder::Id => {}
                SearchOrder::Updated => field(hash, "updated"),
                SearchOrder::UpdatedDescending => field(hash, "updated-descending"),
            }
        }
        PageQuery::History(key) => {
            field(hash, "history");
            hash_type(hash, key.resource_type());
            field(hash, key.id());
        }
        PageQuery::Changes(changes) => {
            field(hash, "changes");
            field(hash, changes.resource_type.map_or("", ResourceType::as_str));
            field(hash, &changes.since.map(|since| since.unix_timestamp_nanos().to_string()).unwrap_or_default());
            if changes.oldest_first {
                field(hash, "oldest first");
            }
        }
        PageQuery::Blobs => field(hash, "blobs"),
        PageQuery::Ledger(prefix) => {
            field(hash, "ledger");
            field(hash, prefix.as_str());
        }
    }
}

fn hash_type(hash: &mut Hmac<Sha256>, resource_type: ResourceType) {
    field(hash, resource_type.as_str());
}

fn hash_criterion(hash: &mut Hmac<Sha256>, criterion: &Criterion) {
    match criterion {
        Criterion::Id(id) => {
            field(hash, "id");
            field(hash, id);
        }
        Criterion::AnyId(ids) => {
            field(hash, "any-id");
            field(hash, &ids.len().to_string());
            ids.iter().for_each(|id| field(hash, id));
        }
        Criterion::Is(parameter, wanted) => {
            field(hash, "is");
            field(hash, parameter.as_str());
            field(hash, &wanted.to_string());
        }
        Criterion::Begins(parameter, start) => {
            field(hash, "begins");
            field(hash, parameter.as_str());
            field(hash, start);
        }
        Criterion::AnyOf(any) => {
            field(hash, "any-of");
            field(hash, &any.len().to_string());
            any.iter().for_each(|criterion| hash_criterion(hash, criterion));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_key_without_randomness_is_an_error() {
        let (tenant, key) = ("ward".parse::<Tenant>().unwrap(), PageKey(None));
        let sealed = key.seal(&tenant, PageQuery::Blobs, b"place");
        assert!(matches!(sealed, Err(StoreError::Unavailable { .. })), "{sealed:?}");
        let token = PageKey::random().seal(&tenant, PageQuery::Blobs, b"place").unwrap();
        assert!(matches!(key.open(&tenant, PageQuery::Blobs, &token), Err(StoreError::Unavailable { .. })));
    }

    #[test]
    fn page_token_format_is_stable_across_releases() {
        let token = PageKey::from_bytes([7; 32]).seal(&"ward".parse().unwrap(), PageQuery::Blobs, b"place").unwrap();
        assert_eq!(token.as_str(), "v1.cGxhY2WEOcqnb51lpv75NAxxhyiF");
    }
}
