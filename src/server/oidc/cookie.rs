//! Cookies that the service can trust: their content is authenticated by a key that only the service has.

use super::people::SessionKey;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// The largest cookie that is read, in characters.
const MAX: usize = 4_096;

/// One cookie of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Somebody who is signed in.
    Session,
    /// A sign-in under way.
    SignIn,
}

impl Cookie {
    /// Returns the name. A browser takes a name with the prefix `__Host-` from this host alone, over TLS.
    fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "session",
            (Self::SignIn, true) => "__Host-sign-in",
            (Self::SignIn, false) => "sign-in",
        }
    }

    /// Returns the value of `Set-Cookie` for `content`, which the browser keeps for so many seconds.
    ///
    /// `SameSite=Lax`: the provider leads the browser back by a link, and no form of another site brings the cookie.
    pub(super) fn set(self, key: &SessionKey, tls: bool, content: &impl Serialize, seconds: u64) -> Option<String> {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(content).ok()?);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(key, &payload)?.finalize().into_bytes());
        let secure = if tls { "; Secure" } else { "" };
        let name = self.name(tls);
        let cookie = format!("{name}={payload}.{mac}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        (cookie.len() <= MAX).then_some(cookie)
    }

    /// Returns the value of `Set-Cookie` that has the browser forget the cookie.
    pub(super) fn forget(self, tls: bool) -> String {
        let secure = if tls { "; Secure" } else { "" };
        format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}", self.name(tls))
    }

    /// Returns the content of the cookie that a request brings, where the service wrote it.
    pub(super) fn read<T: DeserializeOwned>(self, key: &SessionKey, tls: bool, headers: &HeaderMap) -> Option<T> {
        let brought = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut named = brought.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let (_, value) = named.find(|(name, _)| *name == self.name(tls))?;
        let (payload, mac) = value.get(..).filter(|value| value.len() <= MAX)?.split_once('.')?;
        self.mac(key, payload)?.verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// Returns the authentication code of a payload; one of another cookie has another.
    fn mac(self, key: &SessionKey, payload: &str) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key.0).ok()?;
        mac.update(self.name(true).as_bytes());
        mac.update(b"\0");
        mac.update(payload.as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(set: &str) -> HeaderMap {
        let pair = set.split(';').next().unwrap();
        [(header::COOKIE, format!("other=1; {pair}; more=2").parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn changed_cookies_are_refused() {
        let (key, other) = (SessionKey([1; 32]), SessionKey([2; 32]));
        let set = Cookie::Session.set(&key, true, &"content", 60).unwrap();
        assert!(set.starts_with("__Host-session=") && set.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let read = |key: &SessionKey, cookie: Cookie, set: &str| cookie.read::<String>(key, true, &headers(set));
        assert_eq!(read(&key, Cookie::Session, &set).as_deref(), Some("content"));
        assert_eq!(read(&other, Cookie::Session, &set), None, "of another service");
        let renamed = set.replace("__Host-session", "__Host-sign-in");
        assert_eq!(read(&key, Cookie::SignIn, &renamed), None, "of another purpose");
        let changed = set.replacen("=I", "=J", 1);
        assert!(changed != set && read(&key, Cookie::Session, &changed).is_none());
        for faulty in ["__Host-session=", "__Host-session=.", "__Host-session=a.b.c", "__Host-session=é.é"] {
            assert!(Cookie::Session.read::<String>(&key, true, &headers(faulty)).is_none(), "{faulty}");
        }
    }
}
