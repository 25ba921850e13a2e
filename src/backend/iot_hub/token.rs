//! Tokens for a hub.

use super::name::IN_PATH;
use crate::publish::PublishError;
use crate::store::BoxError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use percent_encoding::utf8_percent_encode;
use sha2::Sha256;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// For how long a shared access signature is good, in seconds. A new one is made when half of that is over.
const LIFETIME: i64 = 60 * 60;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Where the value of `Authorization` comes from.
#[derive(Clone)]
pub(super) enum TokenSource {
    /// The name of a shared access policy, and its key.
    Key { policy: String, key: Vec<u8> },
    /// The caller, each time.
    Caller(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

/// The signature that was made last.
#[derive(Default)]
pub(super) struct TokenCache(Mutex<Option<(OffsetDateTime, String)>>);

impl TokenCache {
    /// Returns the value of `Authorization`.
    pub(super) async fn token(
        &self,
        host: &str,
        source: &TokenSource,
        now: OffsetDateTime,
    ) -> Result<String, PublishError> {
        let (policy, key) = match source {
            TokenSource::Caller(token) => {
                return token()
                    .await
                    .map_err(|source| PublishError::Unavailable { retry_after: None, source: Some(source) });
            }
            TokenSource::Key { policy, key } => (policy, key),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, token)) = &*kept
            && (0..LIFETIME / 2).contains(&(now - *made).whole_seconds())
        {
            return Ok(token.clone());
        }
        let token = signature(host, policy, key, now.unix_timestamp() + LIFETIME);
        *kept = Some((now, token.clone()));
        Ok(token)
    }
}

/// Returns a shared access signature that is good until a time.
fn signature(host: &str, policy: &str, key: &[u8], until: i64) -> String {
    let resource = utf8_percent_encode(host, &IN_PATH);
    // A key of any length is one.
    let signed = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(format!("{resource}\n{until}").as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    });
    let signed = signed.unwrap_or_default();
    let (signed, policy) = (utf8_percent_encode(&signed, &IN_PATH), utf8_percent_encode(policy, &IN_PATH));
    format!("SharedAccessSignature sr={resource}&sig={signed}&se={until}&skn={policy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    /// As `openssl dgst -sha256 -hmac` signs the same text.
    #[test]
    fn signature_is_that_of_the_resource_and_its_end() {
        assert_eq!(
            signature("hub.azure-devices.net", "service", b"secret", 1_700_000_000),
            "SharedAccessSignature sr=hub.azure-devices.net&sig=aCrMeDikv7nPQx1tp1OZYu%2BlQJF3K9JQYLMNwoCEdLU%3D&se=1700000000&skn=service"
        );
    }

    #[test]
    fn signature_is_made_anew_when_half_of_its_time_is_over() {
        let cache = TokenCache::default();
        let source = TokenSource::Key { policy: "service".to_owned(), key: b"secret".to_vec() };
        let at = |seconds| {
            let now = datetime!(2026-04-19 10:00 UTC) + time::Duration::seconds(seconds);
            let token = std::pin::pin!(cache.token("hub", &source, now));
            match token.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
                std::task::Poll::Ready(Ok(token)) => token,
                _ => String::new(),
            }
        };
        let first = at(0);
        assert_eq!(at(LIFETIME / 2 - 1), first);
        assert_ne!(at(LIFETIME / 2), first);
        // A clock that was set back.
        assert_ne!(at(-1), first);
    }
}
