//! Secrets that every process over one ledger shares.

use super::maintenance::LIST_OWNER;
use crate::store::{
    Applied, Change, CommitError, Ledger, LedgerKey, PageKey, Result, StoreError, TenantLedger, random_bytes,
};
use std::sync::Arc;

/// The ledger key of the secret that signs page links.
const PAGES: &str = "page-key/1";

/// The ledger key of the secret that authenticates session cookies.
#[cfg(feature = "oidc")]
const SESSIONS: &str = "session-key/1";

/// Number of tries, as another process may be first.
const TRIES: usize = 3;

/// Returns the secret that signs page links. It is stored in the ledger, so that every process over it accepts the
/// links of the others and of earlier ones. The first process creates it.
///
/// ```
/// use fhir_devices::server::{DEFAULT_MAX_UPLOAD, Stores, shared_page_key};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let stores = Stores::in_memory(DEFAULT_MAX_UPLOAD);
/// let key = shared_page_key(&stores.ledger).await?;
/// # let _ = key;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`StoreError::Corrupt`] where the record has another form; errors of the ledger.
pub async fn shared_page_key(ledger: &Arc<dyn Ledger>) -> Result<PageKey> {
    shared(ledger, PAGES).await.map(PageKey::from_bytes)
}

/// Returns the secret that authenticates session cookies. It is stored in the ledger, so that every process over it accepts
/// the sessions of the others. The first process creates it.
///
/// # Errors
/// As [`shared_page_key`].
#[cfg(feature = "oidc")]
pub async fn shared_session_key(ledger: &Arc<dyn Ledger>) -> Result<super::SessionKey> {
    shared(ledger, SESSIONS).await.map(super::SessionKey::from_bytes)
}

/// Returns the secret under a key of the ledger. The first process creates it.
async fn shared(ledger: &Arc<dyn Ledger>, place: &'static str) -> Result<[u8; 32]> {
    let (own, key) = (TenantLedger::new(Arc::clone(ledger), LIST_OWNER.parse()?), LedgerKey::new(place)?);
    for _ in 0..TRIES {
        if let Some(found) = own.get(&key).await? {
            let secret: std::result::Result<[u8; 32], _> = found.value.as_ref().try_into();
            let damaged =
                |_| StoreError::corrupt(format!("the record `{place}` has {} bytes, wanted 32", found.value.len()));
            return secret.map_err(damaged);
        }
        let secret: [u8; 32] = random_bytes()?;
        match own.apply(vec![Change::create(key.clone(), secret.to_vec())]).await {
            // The record is read again: another process may have been first.
            Ok(_) | Err(CommitError { error: StoreError::AlreadyExists { .. }, .. }) => {}
            Err(CommitError { error, .. }) if error.applied() == Applied::Unknown => {}
            Err(CommitError { error, .. }) => return Err(error),
        }
    }
    Err(StoreError::unavailable(None, None))
}
