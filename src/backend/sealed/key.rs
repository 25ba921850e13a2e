//! Data keys and key providers.

use crate::store::{BoxFuture, InvalidText, Result, Sha256, StoreError, Tenant, fill_random};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// The key that seals one object: 256 random bits, made for it and used for nothing else. It is wiped from memory on
/// drop, and is never printed.
///
/// ```
/// use fhir_devices::backend::sealed::DataKey;
/// let key = DataKey::from_bytes([7; 32]);
/// assert_eq!(format!("{key:?}"), "DataKey(..)");
/// ```
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// Creates a new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none.
    pub fn random() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(&mut *key)?;
        Ok(Self(key))
    }

    /// Creates a key from bytes that a [`KeyProvider`] unwrapped.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes, for a [`KeyProvider`] to wrap.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.0).into())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// The id of a provider's key that wrapped a data key: 1 to 128 visible ASCII characters.
///
/// ```
/// use fhir_devices::backend::sealed::KeyId;
/// let id: KeyId = "projects/st-mary/keys/devices/3".parse()?;
/// assert!("two words".parse::<KeyId>().is_err());
/// # let _ = id;
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde_with::SerializeDisplay, serde_with::DeserializeFromStr,
)]
pub struct KeyId(SmolStr);

impl KeyId {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let wanted = "1 to 128 visible characters of ascii are wanted";
        if fits { Ok(Self(text.into())) } else { Err(InvalidText::new("a key id", text, wanted)) }
    }
}

/// A wrapped data key, as stored beside the data it seals.
///
/// ```
/// use fhir_devices::backend::sealed::WrappedKey;
/// let wrapped = WrappedKey { by: "2026".parse()?, bytes: vec![0; 60] };
/// assert_eq!(wrapped.by.as_str(), "2026");
/// # Ok::<(), fhir_devices::store::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The provider's key that wrapped it.
    pub by: KeyId,
    /// The wrapped key, as the provider returned it: at most [`WrappedKey::LONGEST`] bytes.
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// Maximum length of a wrapped key, in bytes.
    pub const LONGEST: usize = 360;
}

/// Wraps data keys and unwraps them: a key management service, a hardware module, or a [`KeyRing`].
///
/// Each object has a data key of its own, so that the provider sees its 32 bytes and never the data. To rotate keys,
/// the provider wraps new data keys with a new key and continues to unwrap with the old ones: nothing is rewritten.
///
/// # Contract
///
/// - **K1.** `unwrap` returns the key that `wrap` was given, for the same tenant and context, whatever key is current
///   by then.
/// - **K2.** `unwrap` for another tenant or context, or of other bytes, fails with [`StoreError::Corrupt`].
/// - **K3.** A key that the provider does not have, or no longer has, is [`StoreError::Denied`].
///
/// ```
/// use fhir_devices::backend::sealed::{DataKey, KeyProvider, KeyRing};
/// use fhir_devices::store::Tenant;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tenant: Tenant = "st-mary".parse()?;
/// let ring = KeyRing::new("2025".parse()?, [7; 32]);
/// let key = DataKey::random()?;
/// let wrapped = ring.wrap(&tenant, &key, b"context").await?;
///
/// let ring = ring.rotated("2026".parse()?, [8; 32]);
/// assert_eq!(ring.unwrap(&tenant, &wrapped, b"context").await?.as_bytes(), key.as_bytes());
/// assert_eq!(ring.wrap(&tenant, &key, b"context").await?.by.as_str(), "2026");
/// assert!(ring.unwrap(&"other".parse()?, &wrapped, b"context").await.is_err());
/// # Ok(())
/// # }
/// ```
pub trait KeyProvider: Send + Sync + 'static {
    /// Wraps a data key with the current key.
    ///
    /// # Errors
    /// The provider's errors, as store errors.
    fn wrap<'a>(&'a self, tenant: &'a Tenant, key: &'a DataKey, context: &'a [u8])
    -> BoxFuture<'a, Result<WrappedKey>>;

    /// Unwraps a data key with the key that wrapped it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] by K2, [`StoreError::Denied`] by K3; the provider's errors.
    fn unwrap<'a>(
        &'a self,
        tenant: &'a Tenant,
        wrapped: &'a WrappedKey,
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey>>;
}

impl<P: KeyProvider + ?Sized> KeyProvider for std::sync::Arc<P> {
    fn wrap<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a DataKey,
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<WrappedKey>> {
        (**self).wrap(tenant, key, context)
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a Tenant,
        wrapped: &'a WrappedKey,
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey>> {
        (**self).unwrap(tenant, wrapped, context)
    }
}

/// A key provider with keys that the process itself holds, by id: the current one, and earlier ones.
///
/// It wraps with AES-256-GCM under a random nonce, bound to the tenant and the context. One key may wrap
/// [`MOST_WRAPS`](Self::MOST_WRAPS) data keys; they are counted.
///
/// ```
/// use fhir_devices::backend::sealed::{DataKey, KeyProvider, KeyRing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (tenant, data) = ("st-mary".parse()?, DataKey::random()?);
/// let keys = KeyRing::new("2026".parse()?, [7; 32]).with_wraps(KeyRing::MOST_WRAPS);
/// assert!(keys.wrap(&tenant, &data, b"").await.is_err());
/// let keys = keys.rotated("2027".parse()?, [8; 32]);
/// assert!(keys.wrap(&tenant, &data, b"").await.is_ok());
/// assert_eq!(keys.wraps(), 1);
/// # Ok(())
/// # }
/// ```
pub struct KeyRing {
    current: KeyId,
    keys: BTreeMap<KeyId, DataKey>,
    wraps: AtomicU64,
}

impl KeyRing {
    /// Maximum number of data keys that one key wraps: beyond 2^32 random nonces, a repetition is no longer unlikely
    /// enough (NIST SP 800-38D, 8.3). Further wraps are [`Denied`](StoreError::Denied) until the key is
    /// [rotated](Self::rotated).
    pub const MOST_WRAPS: u64 = 1 << 32;

    /// Creates a ring with one key.
    #[must_use]
    pub fn new(id: KeyId, key: [u8; 32]) -> Self {
        Self { keys: BTreeMap::from([(id.clone(), DataKey::from_bytes(key))]), current: id, wraps: AtomicU64::new(0) }
    }

    /// Parses keys, one per line: its id, a space, and 64 hexadecimal digits. The first one is current; the others are
    /// older. Empty lines and lines that begin with `#` are skipped.
    ///
    /// ```
    /// use fhir_devices::backend::sealed::KeyRing;
    /// let lines = format!("# since March\n2026 {}\n2025 {}\n", "7a".repeat(32), "5f".repeat(32));
    /// assert!(format!("{:?}", KeyRing::from_lines(&lines)?).contains("2026"));
    /// assert!(KeyRing::from_lines("2026 7a7a").is_err());
    /// # Ok::<(), fhir_devices::store::InvalidText>(())
    /// ```
    ///
    /// # Errors
    /// A line that is not a key, a repeated id, or no key at all. The error does not contain the digits.
    pub fn from_lines(text: &str) -> Result<Self, InvalidText> {
        let refuse = |name: &str, why| InvalidText::new("a key", name, why);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut ring: Option<Self> = None;
        for line in lines {
            let (name, digits) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            // A line without an id may be a key, and is not shown.
            let wrong = || {
                refuse(
                    if digits.is_empty() { ".." } else { name },
                    "a name, a blank and 64 hexadecimal digits are wanted",
                )
            };
            let key = Zeroizing::new(digits.trim().parse::<Sha256>().map_err(|_| wrong())?.0);
            let id: KeyId = name.parse()?;
            match &mut ring {
                None => ring = Some(Self::new(id, *key)),
                Some(ring) if ring.keys.contains_key(&id) => return Err(refuse(name, "the name comes twice")),
                Some(ring) => drop(ring.keys.insert(id, DataKey::from_bytes(*key))),
            }
        }
        ring.ok_or_else(|| refuse("", "a line with a name and 64 hexadecimal digits is wanted"))
    }

    /// Sets a new current key. The earlier ones still unwrap.
    #[must_use]
    pub fn rotated(mut self, id: KeyId, key: [u8; 32]) -> Self {
        self.keys.insert(id.clone(), DataKey::from_bytes(key));
        self.current = id;
        self.wraps = AtomicU64::new(0);
        self
    }

    /// Removes a key: data keys that it wrapped can no longer be unwrapped. The current key is never removed.
    #[must_use]
    pub fn without(mut self, id: &KeyId) -> Self {
        if *id != self.current {
            self.keys.remove(id);
        }
        self
    }

    /// Sets the number of wraps that the current key has made in earlier processes, from [`wraps`](Self::wraps).
    #[must_use]
    pub fn with_wraps(self, wraps: u64) -> Self {
        self.wraps.store(wraps, Ordering::Relaxed);
        self
    }

    /// Returns how many data keys the current key has wrapped, in this process and in earlier ones as far as
    /// [`with_wraps`](Self::with_wraps) states them.
    #[must_use]
    pub fn wraps(&self) -> u64 {
        self.wraps.load(Ordering::Relaxed)
    }

    fn count(&self) -> Result<()> {
        let next = |wraps| (wraps < Self::MOST_WRAPS).then_some(wraps + 1);
        let counted = self.wraps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        counted.map(drop).map_err(|_| {
            let why = format!("the key `{}` has wrapped {} data keys: rotate it", self.current, Self::MOST_WRAPS);
            StoreError::denied(Some(why.into()))
        })
    }

    fn key(&self, id: &KeyId) -> Result<&DataKey> {
        let missing = || StoreError::denied(Some(format!("there is no key `{id}`").into()));
        self.keys.get(id).ok_or_else(missing)
    }

    fn wrap_now(&self, tenant: &Tenant, key: &DataKey, context: &[u8]) -> Result<WrappedKey> {
        self.count()?;
        let mut nonce = Nonce::<Aes256Gcm>::default();
        fill_random(&mut nonce)?;
        let mut sealed = Zeroizing::new(*key.as_bytes());
        let bound = bound(tenant, context);
        let cipher = self.key(&self.current)?.cipher();
        let tag = cipher.encrypt_inout_detached(&nonce, &bound, sealed.as_mut_slice().into());
        let tag = tag.map_err(|_| StoreError::invalid("the context is too long"))?;
        let bytes = [&nonce[..], &sealed[..], &tag[..]].concat();
        Ok(WrappedKey { by: self.current.clone(), bytes })
    }

    fn unwrap_now(&self, tenant: &Tenant, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey> {
        let corrupt = || StoreError::corrupt("the data key belongs to another object, or was changed");
        let (nonce, rest) = wrapped.bytes.split_first_chunk::<12>().ok_or_else(corrupt)?;
        let (sealed, tag) = rest.split_first_chunk::<32>().ok_or_else(corrupt)?;
        let tag = Tag::<Aes256Gcm>::try_from(tag).map_err(|_| corrupt())?;
        let mut key = Zeroizing::new(*sealed);
        let bound = bound(tenant, context);
        let cipher = self.key(&wrapped.by)?.cipher();
        let opened = cipher.decrypt_inout_detached(&(*nonce).into(), &bound, key.as_mut_slice().into(), &tag);
        opened.map_err(|_| corrupt())?;
        Ok(DataKey(key))
    }
}

/// Returns the bytes that a key is bound to. The length of the tenant's name keeps it apart from the context.
fn bound(tenant: &Tenant, context: &[u8]) -> Vec<u8> {
    let name = tenant.as_str().as_bytes();
    [&(name.len() as u64).to_be_bytes(), name, context].concat()
}

impl KeyProvider for KeyRing {
    fn wrap<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a DataKey,
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<WrappedKey>> {
        Box::pin(async move { self.wrap_now(tenant, key, context) })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a Tenant,
        wrapped: &'a WrappedKey,
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey>> {
        Box::pin(async move { self.unwrap_now(tenant, wrapped, context) })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("current", &self.current).field("keys", &self.keys.len()).finish()
    }
}
