//! Rights by resource type: the scopes of SMART on FHIR for systems.

use super::answer::{Problem, Result};
use crate::issue::IssueType;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use std::collections::BTreeSet;
use url::form_urlencoded;

/// The types of resources that may be read and written below `/TENANT/fhir`, as the scopes of SMART on FHIR name them.
///
/// Scopes of systems count: `system/Device.read`, `system/DeviceComponent.write` and `system/*.*` as in SMART App Launch 1,
/// and of its version 2 those that name all of reading (`.rs`), of writing (`.cud`) or both (`.cruds`). Others are passed
/// over: of patients, since no device of ours belongs to one, and of users, whose rights come from their roles.
///
/// What could show resources of other types needs the scope for all (`*`): batches, transactions, searches and histories of
/// all types, chained parameters, `_has`, `_include`, `_revinclude`, posted searches and Subscriptions.
///
/// ```
/// use fhir_devices::server::FhirScopes;
/// let mut scopes = FhirScopes::default();
/// scopes.add("system/Device.read");
/// scopes.add("openid");
/// assert!(scopes.may_read("Device") && !scopes.may_write("Device") && !scopes.may_read("DeviceMetric"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FhirScopes {
    read: Types,
    write: Types,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Types {
    all: bool,
    named: BTreeSet<String>,
}

impl Types {
    fn add(&mut self, name: &str) {
        if name == "*" {
            self.all = true;
        } else {
            self.named.insert(name.to_owned());
        }
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.named.contains(name)
    }
}

impl FhirScopes {
    /// Adds what a scope permits; nothing where it is of another kind.
    pub fn add(&mut self, scope: &str) {
        let Some((name, verbs)) = scope.strip_prefix("system/").and_then(|rest| rest.split_once('.')) else { return };
        let is_type = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if name != "*" && !is_type {
            return;
        }
        if matches!(verbs, "read" | "rs" | "*" | "cruds") {
            self.read.add(name);
        }
        if matches!(verbs, "write" | "cud" | "*" | "cruds") {
            self.write.add(name);
        }
    }

    /// Returns whether resources of a type may be read and searched.
    #[must_use]
    pub fn may_read(&self, name: &str) -> bool {
        self.read.has(name)
    }

    /// Returns whether resources of a type may be created, changed and deleted.
    #[must_use]
    pub fn may_write(&self, name: &str) -> bool {
        self.write.has(name)
    }

    /// Returns whether nothing is permitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks a request to the FHIR service of a tenant.
    ///
    /// # Errors
    /// 403 with the scope that is wanted.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let mut segments = uri.path().split('/').skip(2);
        if segments.next() != Some("fhir") {
            return Err(refuse("the token has scopes for FHIR resources alone"));
        }
        let (kind, last) = (segments.next().unwrap_or_default(), uri.path().rsplit('/').next().unwrap_or_default());
        let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let reads = safe || (*method == Method::POST && matches!(last, "_search" | "$validate"));
        let is_type = kind.bytes().next().is_some_and(|first| first.is_ascii_uppercase());
        // What they are told of is more than what they are.
        let of_all = !is_type || kind == "Subscription";
        let name = if of_all { "*" } else { kind };
        if (reads || *method == Method::PATCH || of_all) && !self.may_read(name) {
            return Err(refuse(&format!("this needs the scope `system/{name}.read`")));
        }
        if !reads && !self.may_write(name) {
            return Err(refuse(&format!("this needs the scope `system/{name}.write`")));
        }
        if self.read.all {
            return Ok(());
        }
        if last == "_search" && *method == Method::POST {
            return Err(refuse("a posted search needs the scope `system/*.read`; without it, search by GET"));
        }
        let condition = headers.get("if-none-exist").and_then(|value| value.to_str().ok()).unwrap_or_default();
        for query in [uri.query().unwrap_or_default(), condition.trim_start_matches('?')] {
            let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
            if let Some(name) = names.find(|name| looks_elsewhere(name)) {
                let words = format!("the parameter `{name}` looks at other types, and needs the scope `system/*.read`");
                return Err(refuse(&words));
            }
        }
        Ok(())
    }
}

/// Whether a search parameter can show something of resources of other types.
fn looks_elsewhere(name: &str) -> bool {
    let base = name.split(':').next().unwrap_or_default();
    name.contains('.') || matches!(base, "_include" | "_revinclude" | "_has")
}

fn refuse(words: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, IssueType::Forbidden, "scope", words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> FhirScopes {
        let mut scopes = FhirScopes::default();
        text.split_whitespace().for_each(|scope| scopes.add(scope));
        scopes
    }

    fn may(scopes: &FhirScopes, method: &str, place: &str) -> bool {
        scopes.check(&method.parse().unwrap(), &place.parse().unwrap(), &HeaderMap::new()).is_ok()
    }

    #[test]
    fn scopes_are_those_of_systems() {
        for (text, read, write) in [
            ("system/Device.read", true, false),
            ("system/Device.write", false, true),
            ("system/Device.*", true, true),
            ("system/*.*", true, true),
            ("system/*.read", true, false),
            ("system/Device.rs", true, false),
            ("system/Device.cud", false, true),
            ("system/Device.cruds", true, true),
            ("system/Device.r", false, false),
            ("system/Device.rs?status=active", false, false),
            ("patient/Device.read", false, false),
            ("user/Device.read", false, false),
            ("system/Device", false, false),
            ("system/.read", false, false),
            ("launch openid", false, false),
        ] {
            let scopes = scopes(text);
            assert_eq!((scopes.may_read("Device"), scopes.may_write("Device")), (read, write), "{text}");
        }
    }

    #[test]
    fn scope_of_one_type_shows_no_other() {
        let one = scopes("system/Device.read system/Device.write");
        for (method, place) in [
            ("GET", "/w/fhir/Device/x"),
            ("GET", "/w/fhir/Device?model=x&_count=5"),
            ("GET", "/w/fhir/Device/x/_history/1"),
            ("POST", "/w/fhir/Device"),
            ("PUT", "/w/fhir/Device/x"),
            ("PATCH", "/w/fhir/Device/x"),
            ("DELETE", "/w/fhir/Device/x"),
            ("POST", "/w/fhir/Device/$validate"),
        ] {
            assert!(may(&one, method, place), "{method} {place}");
        }
        for (method, place) in [
            ("GET", "/w/fhir/DeviceComponent/x"),
            ("PUT", "/w/fhir/DeviceComponent/x"),
            ("POST", "/w/fhir"),
            ("GET", "/w/fhir"),
            ("GET", "/w/fhir/"),
            ("GET", "/w/fhir/_history"),
            ("GET", "/w/fhir?_type=Device"),
            ("GET", "/w/fhir/Device?_revinclude=DeviceComponent:source"),
            ("GET", "/w/fhir/Device?_revinclude:recurse=DeviceComponent:source"),
            ("GET", "/w/fhir/Device?_has:DeviceComponent:source:type=x"),
            ("GET", "/w/fhir/Device?%5Fhas:DeviceComponent:source:type=x"),
            ("GET", "/w/fhir/Device?location.name=x"),
            ("DELETE", "/w/fhir/Device?owner:Organization.name=x"),
            ("POST", "/w/fhir/Device/_search"),
            ("POST", "/w/fhir/Subscription"),
            ("GET", "/w/fhir/Subscription"),
            ("GET", "/w/updates"),
            ("GET", "/w/pages/devices"),
            ("GET", "/metrics"),
        ] {
            assert!(!may(&one, method, place), "{method} {place}");
        }
        let mut condition = HeaderMap::new();
        condition.insert("if-none-exist", "location.name=x".parse().unwrap());
        assert!(one.check(&Method::POST, &"/w/fhir/Device".parse().unwrap(), &condition).is_err());
        let readers = scopes("system/Device.read");
        assert!(!may(&readers, "PUT", "/w/fhir/Device/x") && !may(&readers, "PATCH", "/w/fhir/Device/x"));
        let all = scopes("system/*.*");
        assert!(may(&all, "POST", "/w/fhir") && may(&all, "GET", "/w/fhir/Device?_include=Device:location"));
    }
}
