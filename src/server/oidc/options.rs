//! The settings of a provider of OpenID Connect.

use super::super::guard::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use url::{Host, Url};

/// How long somebody stays signed in, in hours, unless the settings say otherwise.
const DEFAULT_SESSION_HOURS: u64 = 8;

/// The longest session, in hours.
const MAX_SESSION_HOURS: u64 = 24 * 7;

/// The settings of a provider of OpenID Connect, by which people and programs sign in.
///
/// They are read from lines `name = value`; those that are empty or begin with `#` are passed over:
///
/// | name | meaning |
/// |---|---|
/// | `issuer` | the provider's issuer identifier, an `https` URL (`http` at this machine alone); its discovery document is at `ISSUER/.well-known/openid-configuration` |
/// | `client-id` | the client that this service is at the provider |
/// | `client-secret` | its secret; without one it is a public client |
/// | `audience` | the audience (`aud`) that access tokens of programs must have; without it programs cannot sign in by JSON Web Tokens |
/// | `scope` | the scopes that are asked for when people sign in, with blanks between (default `openid profile`) |
/// | `name-claim` | the claim that names somebody in audit records (default `sub`, the only one that providers never reuse) |
/// | `roles-claim` | the claim that holds the roles, a path with dots between members (default `roles`) |
/// | `tenants-claim` | the claim that holds the tenants, or `*` for all (default `tenants`) |
/// | `tenants` | the tenants of everybody whose token has no such claim, with commas between, or `*` |
/// | `role VALUE` | the [roles](Role) that a value of the roles claim gives, with commas between; where no such line stands, a value that is the name of a role gives that role |
/// | `session-hours` | how long somebody stays signed in (default 8, at most 168) |
///
/// ```
/// use fhir_devices::server::OidcOptions;
/// let options = OidcOptions::read("
///     issuer = https://login.example/realms/clinic
///     client-id = device-updates
///     roles-claim = realm_access.roles
///     role device-engineer = read, upload, operate
///     tenants = st-mary
/// ")?;
/// assert_eq!(options.issuer().as_str(), "https://login.example/realms/clinic");
/// assert!(OidcOptions::read("issuer = http://login.example").unwrap_err().contains("https"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct OidcOptions {
    pub(super) issuer: Url,
    /// The issuer as the provider writes it: tokens are compared with this text.
    pub(super) issuer_text: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) name_claim: String,
    pub(super) roles_claim: String,
    pub(super) tenants_claim: String,
    pub(super) tenants: Option<String>,
    /// The roles by value of the claim; empty where the values are the names of roles.
    pub(super) roles: BTreeMap<String, BTreeSet<Role>>,
    pub(super) session: Duration,
}

impl fmt::Debug for OidcOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcOptions")
            .field("issuer", &self.issuer_text)
            .field("client_id", &self.client_id)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl OidcOptions {
    /// Reads the lines.
    ///
    /// # Errors
    /// The number of the line and what is wrong with it, or the name of a setting that is missing. No message holds the secret.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        let mut roles: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| format!("line {}: {why}", at + 1);
            let (name, value) = line.split_once('=').ok_or_else(|| wrong("`name = value` is wanted".to_owned()))?;
            let (name, value) = (name.trim(), value.trim());
            if value.is_empty() {
                return Err(wrong(format!("`{name}` has no value")));
            }
            if let Some(claim) = name.strip_prefix("role ") {
                let named: Result<BTreeSet<Role>, String> = value.split(',').map(|role| role.trim().parse()).collect();
                if roles.insert(claim.trim().to_owned(), named.map_err(wrong)?).is_some() {
                    return Err(wrong(format!("`{name}` comes twice")));
                }
                continue;
            }
            if !NAMES.contains(&name) {
                return Err(wrong(format!("`{name}` is not a setting, wanted one of {}", NAMES.join(", "))));
            }
            if given.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(wrong(format!("`{name}` comes twice")));
            }
        }
        Self::from_settings(given, roles)
    }

    fn from_settings(
        mut given: BTreeMap<String, String>,
        roles: BTreeMap<String, BTreeSet<Role>>,
    ) -> Result<Self, String> {
        let mut take = |name: &str| given.remove(name);
        let issuer_text = take("issuer").ok_or("`issuer` is missing")?;
        let issuer = secure_url(&issuer_text).map_err(|why| format!("`issuer`: {why}"))?;
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err("`issuer`: an issuer has no query and no fragment".to_owned());
        }
        let hours = take("session-hours").map_or(Ok(DEFAULT_SESSION_HOURS), |text| {
            text.parse().ok().filter(|hours| (1..=MAX_SESSION_HOURS).contains(hours)).ok_or_else(|| {
                format!("`session-hours`: `{text}` is not a number of hours from 1 to {MAX_SESSION_HOURS}")
            })
        })?;
        let mut scopes: Vec<String> =
            take("scope").unwrap_or_else(|| "profile".to_owned()).split_whitespace().map(str::to_owned).collect();
        scopes.retain(|scope| scope != "openid");
        Ok(Self {
            issuer,
            issuer_text,
            client_id: take("client-id").ok_or("`client-id` is missing")?,
            client_secret: take("client-secret"),
            audience: take("audience"),
            scopes,
            name_claim: take("name-claim").unwrap_or_else(|| "sub".to_owned()),
            roles_claim: take("roles-claim").unwrap_or_else(|| "roles".to_owned()),
            tenants_claim: take("tenants-claim").unwrap_or_else(|| "tenants".to_owned()),
            tenants: take("tenants"),
            roles,
            session: Duration::from_secs(hours * 3_600),
        })
    }

    /// Returns the issuer identifier of the provider.
    #[must_use]
    pub const fn issuer(&self) -> &Url {
        &self.issuer
    }
}

const NAMES: [&str; 10] = [
    "issuer",
    "client-id",
    "client-secret",
    "audience",
    "scope",
    "name-claim",
    "roles-claim",
    "tenants-claim",
    "tenants",
    "session-hours",
];

/// Reads a URL of the provider: `https`, or `http` at this machine.
pub(super) fn secure_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("`{text}` is not a URL"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("the URL holds a name or a password".to_owned())
        }
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err(format!("`{text}` is not an https URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faulty_settings_are_refused_by_name() {
        for (text, wanted) in [
            ("", "`issuer` is missing"),
            ("issuer = https://a.example", "`client-id` is missing"),
            ("issuer = http://a.example\nclient-id = x", "`issuer`: `http://a.example` is not an https URL"),
            ("issuer = https://a:b@a.example\nclient-id = x", "`issuer`: the URL holds a name or a password"),
            ("issuer = https://a.example?x\nclient-id = x", "`issuer`: an issuer has no query and no fragment"),
            ("issuer", "line 1: `name = value` is wanted"),
            ("\n# x\nisuer = x", "line 3: `isuer` is not a setting"),
            ("issuer = x\nissuer = y", "line 2: `issuer` comes twice"),
            ("role a = read\nrole a = write", "line 2: `role a` comes twice"),
            ("role a = fly", "line 1: `fly` is not a role"),
            ("client-secret =", "line 1: `client-secret` has no value"),
            ("issuer = https://a.example\nclient-id = x\nsession-hours = 0", "`session-hours`: `0` is not a number"),
        ] {
            let error = OidcOptions::read(text).unwrap_err();
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn secret_is_not_shown() {
        let options = OidcOptions::read("issuer = https://a.example\nclient-id = x\nclient-secret = hush").unwrap();
        assert!(!format!("{options:?}").contains("hush"));
        assert!(OidcOptions::read("issuer = http://127.0.0.1:9\nclient-id = x").is_ok());
    }
}
