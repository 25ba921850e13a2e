//! The host that a request addresses, and the origin of the page that sent it.

use super::answer::Problem;
use super::place::one;
use crate::issue::IssueType;
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{Method, StatusCode, Uri};
use std::net::{IpAddr, Ipv6Addr};
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Headers that must have one value. Of two values, one program takes the first and another the second.
const SINGLE: [HeaderName; 11] = [
    header::HOST,
    header::AUTHORIZATION,
    header::ORIGIN,
    header::REFERER,
    header::CONTENT_TYPE,
    header::RANGE,
    SEC_FETCH_SITE,
    SEC_FETCH_MODE,
    SEC_FETCH_DEST,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("if-none-exist"),
];

/// A host, with its port if stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Authority {
    /// Parses `host`, `host:port`, `address`, `[address]:port` and nothing else: no user name, no path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let address = address.parse::<Ipv6Addr>().ok()?;
                (
                    Host::Address(IpAddr::V6(address).to_canonical()),
                    rest.strip_prefix(':').or(rest.is_empty().then_some("")),
                )
            }
            None => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                (Host::parse(host)?, Some(port))
            }
        };
        let port = match port? {
            "" if text.ends_with(':') => return None,
            "" => None,
            port => Some(port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()?),
        };
        Some(Self { host, port })
    }

    /// Returns whether this names the local machine.
    pub(super) fn is_local(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        }
    }

    fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// Returns whether both name the same host and port, with the default port of a scheme.
    fn is(&self, other: &Self, scheme: &str) -> bool {
        let default = if scheme == "https" { 443 } else { 80 };
        self.host == other.host && self.port_or(default) == other.port_or(default)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        // A name with a trailing dot is the same name.
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<IpAddr>() {
            return address.is_ipv4().then_some(Self::Address(address));
        }
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        (name.len() <= 253 && name.split('.').all(label)).then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// Parses an origin: scheme, host and port.
fn read_origin(text: &str) -> Option<(String, Authority)> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    matches!(scheme.as_str(), "http" | "https").then_some(())?;
    Some((scheme, Authority::parse(authority)?))
}

/// Returns the host that a request addresses.
///
/// # Errors
/// The request names no host or two different ones, or repeats a header that must have one value.
pub(super) fn addressed(headers: &HeaderMap, uri: &Uri) -> Result<Authority, Problem> {
    if let Some(name) = SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(Problem::bad(
            "duplicate-header",
            format_args!("the header `{name}` comes twice, and it has one value"),
        ));
    }
    let wrong = |words: &str| Problem::bad("host", words);
    let named = match headers.get(header::HOST) {
        Some(host) => {
            let host = host.to_str().ok().and_then(Authority::parse);
            Some(host.ok_or_else(|| wrong("the header `Host` is not a host with or without a port"))?)
        }
        None => None,
    };
    let Some(target) = uri.authority() else { return named.ok_or_else(|| wrong("the header `Host` is wanted")) };
    let target = Authority::parse(target.as_str()).ok_or_else(|| wrong("the request is not addressed to a host"))?;
    match named {
        Some(named) if !named.is(&target, uri.scheme_str().unwrap_or("http")) => {
            Err(wrong("the request is addressed to another host than its header `Host` says"))
        }
        _ => Ok(target),
    }
}

/// Returns whether a request comes from a page of this service, from a program, or from a link that a user followed,
/// and not from a page of another site or of another port of the same host.
pub(super) fn is_own(method: &Method, headers: &HeaderMap, host: &Authority, base: &str, tls: bool) -> bool {
    let own = |text: &str| {
        let Some((scheme, origin)) = read_origin(text) else { return false };
        let at_base = read_origin(base).is_some_and(|(of_base, base)| of_base == scheme && origin.is(&base, &scheme));
        at_base || (origin.is(host, &scheme) && (!tls || scheme == "https"))
    };
    let safe = matches!(*method, Method::GET | Method::HEAD);
    if let Some(origin) = headers.get(header::ORIGIN) {
        // The origin of a page without one is `null`.
        if !origin.to_str().is_ok_and(own) {
            return false;
        }
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let site = one(headers, &SEC_FETCH_SITE).unwrap_or_default();
        let followed = safe
            && one(headers, &SEC_FETCH_MODE) == Some("navigate")
            && one(headers, &SEC_FETCH_DEST).is_none_or(|dest| dest == "document");
        return matches!(site, "same-origin" | "none") || (followed && !headers.contains_key(header::ORIGIN));
    }
    // Old browsers send forms with a `Referer` alone.
    match headers.get(header::REFERER).filter(|_| !safe && !headers.contains_key(header::ORIGIN)) {
        Some(page) => page
            .to_str()
            .ok()
            .and_then(|page| Url::parse(page).ok())
            .is_some_and(|page| own(&page.origin().ascii_serialization())),
        None => true,
    }
}

/// Creates the problem of a request from a page of another origin.
pub(super) fn foreign(rule: &str, words: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, IssueType::Forbidden, rule, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_loopback_is_local() {
        let local = |host: &str| Authority::parse(host).is_some_and(|host| host.is_local());
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "127.0.0.1.",
            "localhost:80",
            "LocalHost",
            "localhost.",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "127.3.2.1:1",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "10.0.0.1:8080",
            "[fe80::1]:80",
            "[::]",
            "0.0.0.0",
            "localhost.evil.org",
            "localhost..",
            "127.0.0.1:80@evil.example",
            "localhost@evil.example",
            "localhost:80:90",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "localhost/evil",
            "[::1",
            "[::1]80",
            "::1",
            "2130706433",
            "localhost, evil.example",
        ] {
            assert!(!local(host), "{host}");
        }
    }

    #[test]
    fn other_sites_and_ports_are_cross_origin() {
        let own = |method: Method, host: &str, tls: bool, pairs: &[(&str, &str)]| {
            let host = Authority::parse(host).unwrap();
            is_own(&method, &headers(pairs), &host, "https://updates.example", tls)
        };
        for (host, pairs) in [
            ("localhost:8080", &[("Origin", "http://localhost:8080")][..]),
            ("localhost:80", &[("Origin", "http://localhost")]),
            ("localhost.:8080", &[("Origin", "http://LOCALHOST:8080")]),
            ("127.0.0.1:8080", &[("Origin", "https://updates.example")]),
            ("localhost:8080", &[("Sec-Fetch-Site", "same-origin")]),
            ("localhost:8080", &[("Sec-Fetch-Site", "none")]),
            ("localhost:8080", &[("Referer", "http://localhost:8080/?tenant=demo")]),
            ("localhost:8080", &[]),
        ] {
            assert!(own(Method::POST, host, false, pairs), "{host} {pairs:?}");
        }
        for (host, pairs) in [
            ("localhost:8080", &[("Origin", "http://localhost:3000")][..]),
            ("localhost:8080", &[("Origin", "http://localhost")]),
            ("localhost:8080", &[("Origin", "http://127.0.0.1:8080")]),
            ("localhost:8080", &[("Origin", "null")]),
            ("localhost:8080", &[("Origin", "")]),
            ("localhost:8080", &[("Origin", "file://")]),
            ("localhost:8080", &[("Origin", "http://localhost:8080@evil.example")]),
            ("localhost:8080", &[("Origin", "http://updates.example")]),
            ("localhost:8080", &[("Sec-Fetch-Site", "same-site")]),
            ("localhost:8080", &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]),
            ("localhost:8080", &[("Referer", "http://evil.example/")]),
            ("localhost:8080", &[("Origin", "http://localhost:8080"), ("Sec-Fetch-Site", "cross-site")]),
        ] {
            assert!(!own(Method::POST, host, false, pairs), "{host} {pairs:?}");
        }
        assert!(!own(Method::POST, "host:8443", true, &[("Origin", "http://host:8443")]));
        let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
        assert!(own(Method::GET, "localhost:8080", false, &link));
        assert!(!own(
            Method::GET,
            "localhost:8080",
            false,
            &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")]
        ));
    }

    #[test]
    fn request_with_two_hosts_is_refused() {
        let ask = |pairs: &[(&str, &str)], uri: &str| addressed(&headers(pairs), &uri.parse().unwrap());
        assert!(ask(&[("Host", "localhost:80")], "/").is_ok());
        assert!(ask(&[("Host", "localhost:80")], "http://localhost/").is_ok());
        assert!(ask(&[("Host", "localhost:80")], "http://evil.example/").is_err());
        assert!(ask(&[("Host", "localhost:80")], "http://localhost:81/").is_err());
        assert!(ask(&[], "/").is_err());
        let mut two = headers(&[("Host", "localhost")]);
        two.append(header::HOST, "evil.example".parse().unwrap());
        assert!(addressed(&two, &"/".parse().unwrap()).is_err());
    }
}
