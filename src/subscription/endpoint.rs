//! The rules for endpoints of notifications.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The rules for endpoints of notifications. By default public hosts over `https` only, since clients name the
/// endpoints: they must not reach the network of this service through it.
///
/// The URL is checked when a subscription is written. A host name is resolved when a notification is sent: the
/// [`Notifier`](super::Notifier) checks each resolved address with [`allows_ip`](Self::allows_ip).
///
/// ```
/// use fhir_devices::subscription::EndpointRules;
/// let rules = EndpointRules::default();
/// assert!(rules.check("https://ehr.example/hook").is_ok());
/// assert!(rules.check("http://ehr.example/hook").is_err());
/// assert!(rules.check("https://127.0.0.1/hook").is_err());
/// assert!(rules.allow_http().allow_private().check("http://127.0.0.1/hook").is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointRules {
    http: bool,
    private: bool,
}

/// Maximum length of a URL, in bytes.
const LONGEST: usize = 2 << 10;

impl EndpointRules {
    /// Allows plain `http` too. Anyone on the network path can then read the notifications, and the headers with their
    /// secrets.
    #[must_use]
    pub const fn allow_http(mut self) -> Self {
        self.http = true;
        self
    }

    /// Allows hosts of this machine and of private networks too. Each client that may write a subscription can then
    /// reach them.
    #[must_use]
    pub const fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Parses an endpoint URL, and checks that notifications may be sent to it.
    ///
    /// # Errors
    /// The fault of the URL, in words for the client.
    pub fn check(&self, address: &str) -> Result<Url, String> {
        if address.len() > LONGEST {
            return Err(format!("the endpoint is longer than {LONGEST} bytes"));
        }
        let url = Url::parse(address).map_err(|error| format!("the endpoint is no absolute URL: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.http => {}
            "http" => return Err("the endpoint is at `http`, wanted `https`".to_owned()),
            other => return Err(format!("the endpoint is at `{other}`, wanted `https`")),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(
                "the endpoint has a user, a password or a fragment, wanted none: a header may have a secret".to_owned()
            );
        }
        let inner = || Err("the endpoint is on this machine or in a private network, wanted a public host".to_owned());
        match url.host() {
            None => Err("the endpoint names no host".to_owned()),
            Some(Host::Ipv4(ip)) if !self.allows_ip(ip.into()) => inner(),
            Some(Host::Ipv6(ip)) if !self.allows_ip(ip.into()) => inner(),
            Some(Host::Domain(name)) if !self.private && is_local_name(name) => inner(),
            Some(_) => Ok(url),
        }
    }

    /// Returns whether notifications may be sent to an IP address.
    #[must_use]
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        self.private || is_public(ip)
    }
}

/// Returns whether a name does not exist in the public network (RFC 6761, RFC 6762, RFC 8375).
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends = ["localhost", "local", "internal", "home.arpa", "lan", "intranet"];
    !name.contains('.') || ends.iter().any(|end| name == *end || name.ends_with(&format!(".{end}")))
}

/// Returns whether an address is public: not one that IANA has registered for a special purpose.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        // Carrier-grade NAT, protocol assignments, benchmarking, and 6to4 relays.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(ip) {
        return is_public_v4(inner);
    }
    let [first, second, ..] = ip.segments();
    // Only 2000::/3 is assigned for the public network.
    let is_special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8)) || (first == 0x3fff && second < 0x1000);
    first & 0xe000 == 0x2000 && !is_special
}

/// Returns the IPv4 address to which an IPv6 address leads: mapped, compatible, translated (NAT64) or 6to4.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let [first, second, third, ..] = segments;
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(of(high, low)),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        _ if first == 0x2002 => Some(of(second, third)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(!EndpointRules::default().allows_ip(ip), "{ip}");
            assert!(EndpointRules::default().allow_private().allows_ip(ip), "{ip}");
        }
        for ip in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::1.1.1.1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(EndpointRules::default().allows_ip(ip), "{ip}");
        }
    }

    #[test]
    fn endpoint_is_checked_by_scheme_and_host() {
        let (strict, open) = (EndpointRules::default(), EndpointRules::default().allow_http().allow_private());
        for address in [
            "http://ehr.example/hook",
            "ftp://ehr.example/hook",
            "https://localhost/hook",
            "https://printer.local/",
            "https://intranet/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            // Other spellings of 127.0.0.1.
            "https://2130706433/",
            "https://0x7f.1/",
            "https://me:secret@ehr.example/",
            "https://ehr.example/#part",
            "hook",
            "mailto:a@b.example",
        ] {
            assert!(strict.check(address).is_err(), "{address}");
        }
        for address in ["https://ehr.example/hook?for=pumps", "https://93.184.216.34:8443/"] {
            assert!(strict.check(address).is_ok(), "{address}");
        }
        assert!(open.check("http://localhost:8080/hook").is_ok() && open.check("http://[::1]/").is_ok());
        assert!(open.check("ftp://localhost/").is_err() && open.check("http://a:b@localhost/").is_err());
        assert!(open.check(&format!("https://a.example/{}", "x".repeat(LONGEST))).is_err());
    }
}
