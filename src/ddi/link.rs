//! Signed links to the bytes of an offer: who has one needs no token, so that none is sent on to a cache.

use crate::primitive::Id;
use crate::publish::OfferKey;
use crate::store::{StoreError, Tenant, random_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use time::OffsetDateTime;
use url::form_urlencoded;

/// The secret key by which links are signed. Every process of a service has the same one.
///
/// ```
/// use fhir_devices::{ddi::{LinkKey, LinkRefusal, SignedLink}, publish::OfferKey, store::Tenant};
/// use time::macros::datetime;
/// let (key, tenant): (_, Tenant) = (LinkKey::from_bytes([7; 32]), "st-mary".parse()?);
/// let offer: OfferKey = "0000000000000000000000000000feed-1".parse()?;
/// let until = datetime!(2017-04-20 10:00 UTC);
/// let link = key.sign("https://updates.example/offers/1/pump.bin", &tenant, offer, "pump.bin", &"pump-7".parse()?, until);
/// let signed = SignedLink::read(link.split_once('?').unwrap().1).unwrap();
/// assert_eq!(key.verify(&tenant, offer, "pump.bin", &signed, datetime!(2017-04-19 10:00 UTC)), Ok(()));
/// assert_eq!(key.verify(&tenant, offer, "other.bin", &signed, until), Err(LinkRefusal::Wrong));
/// assert_eq!(key.verify(&tenant, offer, "pump.bin", &signed, until), Err(LinkRefusal::Expired));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LinkKey([u8; 32]);

/// Why a signed link gives nothing.
///
/// ```
/// use fhir_devices::ddi::LinkRefusal;
/// assert_eq!(LinkRefusal::Expired.to_string(), "the link has expired");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkRefusal {
    /// The link was not signed by this key, or for something else.
    #[error("the signature of the link is wrong")]
    Wrong,
    /// The time of the link is over.
    #[error("the link has expired")]
    Expired,
}

/// What a signed link says beside its path.
///
/// ```
/// use fhir_devices::ddi::SignedLink;
/// assert_eq!(SignedLink::read("device=pump-7&until=1"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedLink {
    /// The device that it was made for.
    pub device: Id,
    until: i64,
    mac: Vec<u8>,
}

impl SignedLink {
    /// Reads the query of a link; `None` where it has no signature.
    #[must_use]
    pub fn read(query: &str) -> Option<Self> {
        let value = |wanted: &str| form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        let (mac, device, until) = (value("mac")?.1, value("device")?.1, value("until")?.1);
        let mac = URL_SAFE_NO_PAD.decode(mac.as_bytes()).ok()?;
        Some(Self { device: Id::new(&*device).ok()?, until: until.parse().ok()?, mac })
    }

    /// Returns whether a query has the signature of a link, right or wrong.
    #[must_use]
    pub fn is_in(query: &str) -> bool {
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "mac")
    }
}

impl LinkKey {
    /// Creates a key from the randomness of the operating system.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is none.
    pub fn random() -> Result<Self, StoreError> {
        random_bytes().map(Self)
    }

    /// Creates a key from bytes, which must be random and kept secret.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the key.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Returns a link for a device to a file of an offer, which is good until a time.
    #[must_use]
    pub fn sign(
        &self,
        link: &str,
        tenant: &Tenant,
        key: OfferKey,
        file: &str,
        device: &Id,
        until: OffsetDateTime,
    ) -> String {
        let until = until.unix_timestamp();
        let mac = self.mac(tenant, key, file, device, until).map(|mac| mac.finalize().into_bytes());
        let mac = URL_SAFE_NO_PAD.encode(mac.unwrap_or_default());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("device", device.as_str())
            .append_pair("until", &until.to_string())
            .append_pair("mac", &mac)
            .finish();
        format!("{link}{}{query}", if link.contains('?') { '&' } else { '?' })
    }

    /// Checks the signature of a link to a file of an offer.
    ///
    /// # Errors
    /// [`LinkRefusal`].
    pub fn verify(
        &self,
        tenant: &Tenant,
        key: OfferKey,
        file: &str,
        link: &SignedLink,
        now: OffsetDateTime,
    ) -> Result<(), LinkRefusal> {
        let mac = self.mac(tenant, key, file, &link.device, link.until).ok_or(LinkRefusal::Wrong)?;
        mac.verify_slice(&link.mac).map_err(|_| LinkRefusal::Wrong)?;
        if now.unix_timestamp() < link.until { Ok(()) } else { Err(LinkRefusal::Expired) }
    }

    /// The code of a link: each part with its length before it, so that no two links have the same bytes. A key of 32 bytes is
    /// always taken.
    fn mac(&self, tenant: &Tenant, key: OfferKey, file: &str, device: &Id, until: i64) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        let (key, until) = (key.to_string(), until.to_string());
        for part in ["fhir-devices/link/1", tenant.as_str(), &key, file, device.as_str(), &until] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_link_is_signed() {
        let (key, tenant): (_, Tenant) = (LinkKey::from_bytes([7; 32]), "ward".parse().unwrap());
        let offer: OfferKey = "0000000000000000000000000000feed-1".parse().unwrap();
        let (device, until) = ("pump-7".parse().unwrap(), OffsetDateTime::from_unix_timestamp(100).unwrap());
        let link = key.sign("http://x/y?z=1", &tenant, offer, "a b.bin", &device, until);
        let query = link.split_once('?').unwrap().1;
        let signed = SignedLink::read(query).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let verify = |tenant: &str, offer: &str, file, signed: &SignedLink| {
            key.verify(&tenant.parse().unwrap(), offer.parse().unwrap(), file, signed, now)
        };
        let offer = offer.to_string();
        assert_eq!(verify("ward", &offer, "a b.bin", &signed), Ok(()));
        let other_device = SignedLink { device: "pump-8".parse().unwrap(), ..signed.clone() };
        let later = SignedLink { until: 200, ..signed.clone() };
        let short = SignedLink { mac: Vec::new(), ..signed.clone() };
        for refused in [
            verify("ward-2", &offer, "a b.bin", &signed),
            verify("ward", "0000000000000000000000000000feed-2", "a b.bin", &signed),
            verify("ward", &offer, "a b.bin ", &signed),
            verify("ward", &offer, "a b.bin", &other_device),
            verify("ward", &offer, "a b.bin", &later),
            verify("ward", &offer, "a b.bin", &short),
            LinkKey::from_bytes([8; 32]).verify(&tenant, offer.parse().unwrap(), "a b.bin", &signed, now),
        ] {
            assert_eq!(refused, Err(LinkRefusal::Wrong));
        }
        assert!(SignedLink::is_in(query) && !SignedLink::is_in("device=x"));
        assert_eq!(format!("{key:?}"), "LinkKey(..)");
    }
}
