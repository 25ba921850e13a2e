//! The file of tokens, with the tenants, roles and expiry of each.

use super::guard::{Access, Authenticator, Caller, Grant, Role};
use super::token_digest::TokenDigest;
use crate::store::{BoxFuture, Sha256, Tenant};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

/// Minimum length of a token, in characters.
const MIN_TOKEN: usize = 16;

/// Maximum size of the file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The keywords that begin a part of a line after the tenants.
const KEYWORDS: [&str; 3] = ["as", "may", "until"];

/// Tokens with their grants. A line has the token or `sha256:` and its digest, a space, and the tenants separated by
/// commas, or `*`. These parts may follow, in any order:
///
/// - `as NAME`: the name of the holder in audit records;
/// - `may ROLE, ..`: names of [`Role`], such as `read` and `operate`. Without it, a token for tenants has the first
///   three, and one for `*` has all;
/// - `until TIME`: a day (on which the token is still valid, in UTC) or an instant, as in `2027-01-31` or
///   `2027-01-31T12:00:00Z`.
///
/// ```
/// use fhir_devices::server::Tokens;
/// assert!(Tokens::read("a-long-enough-token st-mary as ward/terminal may read, upload until 2099-12-31").is_ok());
/// assert!(Tokens::read("short *").unwrap_err().contains("line 1"));
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tokens(HashMap<TokenDigest, Grant>);

impl Tokens {
    /// Parses the lines; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The number of the line, and its fault.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut known = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| format!("line {}: {why}", at + 1);
            let (digest, grant) = read_line(line).map_err(wrong)?;
            if known.insert(digest, grant).is_some() {
                return Err(wrong("the token comes twice".to_owned()));
            }
        }
        if known.is_empty() { Err("it holds no token".to_owned()) } else { Ok(Self(known)) }
    }
}

fn read_line(line: &str) -> Result<(TokenDigest, Grant), String> {
    let (token, rest) = line.split_once(char::is_whitespace).ok_or("a token and its tenants are wanted")?;
    let digest = match token.strip_prefix("sha256:") {
        Some(digest) => digest.parse::<Sha256>().map_err(|error| format!("{error}"))?.into(),
        None if token.len() < MIN_TOKEN => return Err(format!("a token has at least {MIN_TOKEN} characters")),
        None => TokenDigest::of(token),
    };
    let mut parts: Vec<(&str, String)> = vec![("tenants", String::new())];
    for word in rest.split_whitespace() {
        let twice = parts.iter().any(|(name, _)| *name == word);
        let Some((_, last)) = parts.last_mut() else { break };
        // After a comma another item of the list follows, even if it is named like a keyword.
        let begins = !last.is_empty() && !last.ends_with(',');
        match KEYWORDS.iter().find(|keyword| **keyword == word && begins) {
            Some(keyword) if twice => return Err(format!("`{keyword}` comes twice")),
            Some(keyword) => parts.push((keyword, String::new())),
            None => {
                let blank = if last.is_empty() { "" } else { " " };
                last.push_str(blank);
                last.push_str(word);
            }
        }
    }
    let mut grant = Grant::new(Caller::Unnamed, Access::Everything);
    for (name, text) in parts {
        match name {
            "as" => grant.caller = Caller::Named(text.parse().map_err(|error| format!("{error}"))?),
            "may" => {
                let roles: Result<BTreeSet<Role>, String> = text.split(',').map(|role| role.trim().parse()).collect();
                grant.roles = roles?;
            }
            "until" => grant.until = Some(read_time(&text)?),
            _ if text == "*" => {}
            _ => {
                let tenants: Result<_, _> = text.split(',').map(|name| name.trim().parse::<Tenant>()).collect();
                grant = Grant::new(Caller::Unnamed, Access::Tenants(tenants.map_err(|error| error.to_string())?));
            }
        }
    }
    Ok((digest, grant))
}

/// Parses an instant, or a day as its end.
fn read_time(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(instant) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(instant);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok().and_then(Date::next_day);
    day.map(|day| day.with_time(Time::MIDNIGHT).assume_utc())
        .ok_or_else(|| format!("`{text}` is not a time, such as 2027-01-31 or 2027-01-31T12:00:00Z"))
}

impl Authenticator for Tokens {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
        let found = self.0.get(&TokenDigest::of(token)).cloned();
        Box::pin(async move { found })
    }
}

/// A file of [`Tokens`] that is read again when it changes, so that a token is revoked without a restart.
///
/// ```no_run
/// use fhir_devices::server::TokenFile;
/// use std::time::Duration;
/// # async fn example() -> Result<(), String> {
/// let file = TokenFile::open("tokens.txt")?;
/// tokio::spawn(file.clone().watch(Duration::from_secs(2)));
/// file.reload()?; // at once, as after a signal
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
    /// The digest of the last content read, and its fault.
    last: Mutex<Last>,
    broken: AtomicBool,
    reloads: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Last {
    digest: Option<Sha256>,
    fault: Option<String>,
}

impl TokenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is invalid.
    pub fn open(path: impl Into<PathBuf>) -> Result<Arc<Self>, String> {
        let path = path.into();
        let text = read_file(&path)?;
        let tokens = Tokens::read(&text).map_err(|error| wrong(&path, &error))?;
        let last = Last { digest: Some(Sha256::of(text.as_bytes())), fault: None };
        Ok(Arc::new(Self {
            path,
            tokens: RwLock::new(Arc::new(tokens)),
            last: Mutex::new(last),
            broken: AtomicBool::new(false),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }))
    }

    /// Reads the file again, and returns whether its tokens changed. A file with a fault changes nothing: the tokens
    /// read before stay valid.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is invalid.
    pub fn reload(&self) -> Result<bool, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read_file(&self.path).and_then(|text| {
            let digest = Some(Sha256::of(text.as_bytes()));
            if last.digest == digest && last.fault.is_none() {
                return Ok(None);
            }
            let tokens = Tokens::read(&text).map_err(|error| wrong(&self.path, &error))?;
            Ok(Some((digest, tokens)))
        });
        match read {
            Ok(None) => Ok(false),
            Ok(Some((digest, tokens))) => {
                let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
                let changed = **known != tokens;
                let count = tokens.0.len();
                *known = Arc::new(tokens);
                drop(known);
                *last = Last { digest, fault: None };
                self.broken.store(false, Relaxed);
                self.reloads.fetch_add(1, Relaxed);
                tracing::info!(tokens = count, changed, "the file of tokens was read again");
                Ok(changed)
            }
            Err(fault) => {
                // The file is checked every few seconds; each fault is logged once.
                if last.fault.as_ref() != Some(&fault) {
                    self.failures.fetch_add(1, Relaxed);
                    tracing::error!(fault, "the file of tokens cannot be read, and the tokens of before stay good");
                    last.fault = Some(fault.clone());
                }
                self.broken.store(true, Relaxed);
                Err(fault)
            }
        }
    }

    /// Reads the file again whenever its content has changed, checking at the interval `every`. It never ends.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let file = Arc::clone(&self);
            // Faults of the file are logged.
            drop(tokio::task::spawn_blocking(move || drop(file.reload())).await);
        }
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            (
                "token_file_reloads_total",
                "counter",
                "How often the file of tokens was read again.",
                self.reloads.load(Relaxed),
            ),
            ("token_file_failures_total", "counter", "Faults of the file of tokens.", self.failures.load(Relaxed)),
            (
                "token_file_broken",
                "gauge",
                "Whether the file of tokens has a fault now.",
                self.broken.load(Relaxed).into(),
            ),
        ] {
            let _ = writeln!(text, "# HELP update_service_{name} {help}\n# TYPE update_service_{name} {kind}");
            let _ = writeln!(text, "update_service_{name} {value}");
        }
        text
    }
}

fn wrong(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("`{}`: {why}", path.display())
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(|error| wrong(path, &error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong(path, &format_args!("it has more than {MAX_FILE} bytes")));
    }
    Ok(text)
}

impl Authenticator for TokenFile {
    fn sign_in<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Option<Grant>> {
        let tokens = Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { tokens.sign_in(token).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn grant(line: &str) -> Grant {
        Tokens::read(&format!("first-long-token-1 {line}")).unwrap().0.into_values().next().unwrap()
    }

    #[test]
    fn token_file_is_read_by_line() {
        let digest = Sha256::of(b"another long token");
        let text = format!("# ours\n\nfirst-long-token-1  ward-1, ward-2 as ward/terminal\nsha256:{digest} *\n");
        let tokens = Tokens::read(&text).unwrap();
        let ward = |name: &str| name.parse::<Tenant>().unwrap();
        let access = Access::Tenants([ward("ward-1"), ward("ward-2")].into());
        let named = Grant::new(Caller::Named("ward/terminal".parse().unwrap()), access);
        assert_eq!(tokens.0.get(&TokenDigest::of("first-long-token-1")), Some(&named));
        assert_eq!(tokens.0.get(&digest.into()), Some(&Grant::new(Caller::Unnamed, Access::Everything)));
        for (text, wrong) in [
            ("", "no token"),
            ("lonely-long-token", "line 1"),
            ("short *", "16 characters"),
            ("first-long-token-1 Ward", "line 1: `Ward` is not a tenant"),
            ("sha256:12 *", "digest"),
            ("first-long-token-1 ward as two words", "line 1: the text"),
            ("first-long-token-1 ward as", "line 1: the text"),
            ("first-long-token-1 ward may", "`` is not a role"),
            ("first-long-token-1 ward may read, delete", "`delete` is not a role"),
            ("first-long-token-1 ward until soon", "`soon` is not a time"),
            ("first-long-token-1 ward until 2027-02-30", "`2027-02-30` is not a time"),
            ("first-long-token-1 ward may read may write", "`may` comes twice"),
            ("first-long-token-1 a\nfirst-long-token-1 b", "line 2: the token comes twice"),
        ] {
            let error = Tokens::read(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn token_line_has_tenants_roles_and_expiry() {
        let read = grant("ward until 2027-01-31 may read as ward/terminal");
        assert_eq!((read.roles, read.until), ([Role::Read].into(), Some(datetime!(2027-02-01 0:00 UTC))));
        assert_eq!(grant("* until 2027-01-31T12:00:00+01:00").until, Some(datetime!(2027-01-31 11:00 UTC)));
        assert_eq!(grant("ward").roles, [Role::Read, Role::Write, Role::Upload].into());
        let of_rollouts = [Role::Release, Role::Approve, Role::Device];
        let all = [Role::Read, Role::Write, Role::Upload, Role::Operate].into_iter().chain(of_rollouts);
        assert_eq!(grant("*").roles, all.collect());
        // Tenants may have these names, and had them before roles existed.
        let Access::Tenants(tenants) = grant("ward, may, until,as as x").access else { panic!() };
        assert_eq!(tenants.len(), 4);
    }

    #[test]
    fn token_file_is_reloaded_unless_malformed() {
        let path = std::env::temp_dir().join(format!("fhir-devices-tokens-{}", std::process::id()));
        std::fs::write(&path, "first-long-token-1 *").unwrap();
        let file = TokenFile::open(&path).unwrap();
        let has = |token: &str| file.tokens.read().unwrap().0.contains_key(&TokenDigest::of(token));
        assert_eq!(file.reload(), Ok(false));
        std::fs::write(&path, "other-long-token-1 *").unwrap();
        assert_eq!(file.reload(), Ok(true));
        assert!(has("other-long-token-1") && !has("first-long-token-1"));
        std::fs::write(&path, "broken").unwrap();
        for _ in 0..3 {
            assert!(file.reload().unwrap_err().contains("line 1"));
        }
        assert!(has("other-long-token-1"));
        assert!(file.text().contains("token_file_failures_total 1") && file.text().contains("token_file_broken 1"));
        std::fs::remove_file(&path).unwrap();
        assert!(file.reload().is_err() && has("other-long-token-1"));
        std::fs::write(&path, "other-long-token-1 *").unwrap();
        assert_eq!(file.reload(), Ok(false));
        assert!(file.text().contains("token_file_broken 0"));
        std::fs::remove_file(&path).unwrap();
        assert!(TokenFile::open(&path).unwrap_err().contains("fhir-devices-tokens"));
    }
}
