//! Rights by the claims of a token: roles, tenants, and the scopes of SMART on FHIR.

use super::super::guard::{Access, Caller, Grant, Role};
use super::super::scopes::FhirScopes;
use super::options::OidcOptions;
use crate::manifest::ActorId;
use crate::store::Tenant;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// The longest name that is shown to people, in characters.
const MAX_SHOWN: usize = 64;

/// Returns a claim by its path: the name of a member, or names with dots between them. A name that has dots itself, such as
/// a URL, is found first.
fn find<'c>(claims: &'c Claims, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut names = path.split('.');
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// Returns the texts of a claim that is a text with blanks between or a list of texts.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether the claims say something of roles and of tenants.
pub(super) fn has_rights(options: &OidcOptions, claims: &Claims) -> bool {
    let tenants = options.tenants.is_some() || find(claims, &options.tenants_claim).is_some();
    tenants && find(claims, &options.roles_claim).is_some()
}

/// Returns the roles that the claims give.
fn roles(options: &OidcOptions, claims: &Claims) -> BTreeSet<Role> {
    let values = find(claims, &options.roles_claim).map(texts).unwrap_or_default();
    if options.roles.is_empty() {
        return values.into_iter().filter_map(|value| value.parse().ok()).collect();
    }
    values.into_iter().filter_map(|value| options.roles.get(value)).flatten().copied().collect()
}

/// Returns the tenants that the claims name; none where they name none. A name that no tenant can have is passed over.
fn access(options: &OidcOptions, claims: &Claims) -> Access {
    let named = match (find(claims, &options.tenants_claim), &options.tenants) {
        (Some(claim), _) => texts(claim),
        (None, Some(tenants)) => tenants.split(',').map(str::trim).collect(),
        (None, None) => Vec::new(),
    };
    if named.contains(&"*") {
        return Access::Everything;
    }
    Access::Tenants(named.into_iter().filter_map(|name| name.parse::<Tenant>().ok()).collect())
}

/// Returns who the claims are about, for audit records; `None` where they have no name that a record can hold.
fn caller(options: &OidcOptions, claims: &Claims) -> Option<Caller> {
    let name = find(claims, &options.name_claim).and_then(Value::as_str).or_else(|| claims.get("sub")?.as_str())?;
    ActorId::new(name).ok().map(Caller::Named)
}

/// Returns the name by which a person is addressed on the pages.
pub(super) fn shown_name(claims: &Claims) -> Option<String> {
    let names = ["name", "preferred_username", "email", "sub"];
    let found = names.iter().find_map(|name| claims.get(*name)?.as_str().filter(|name| !name.trim().is_empty()))?;
    Some(found.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect())
}

/// Returns the rights of somebody whose claims were verified, until `until`.
pub(super) fn grant(options: &OidcOptions, claims: &Claims, until: OffsetDateTime) -> Option<Grant> {
    let mut grant = Grant::new(caller(options, claims)?, access(options, claims));
    grant.roles = roles(options, claims);
    grant.until = Some(until);
    Some(grant)
}

/// Returns the scopes of SMART on FHIR that an access token has: those of systems, since no person is asked.
pub(super) fn scopes(claims: &Claims) -> FhirScopes {
    let mut scopes = FhirScopes::default();
    for claim in ["scope", "scp"] {
        claims.get(claim).map(texts).unwrap_or_default().into_iter().for_each(|scope| scopes.add(scope));
    }
    scopes
}

/// Returns the end of a token's validity.
pub(super) fn expiry(claims: &Claims) -> Option<OffsetDateTime> {
    let seconds = claims.get("exp")?;
    let seconds = seconds.as_i64().or_else(|| {
        // RFC 7519 permits fractions.
        let whole = seconds.as_f64()?.floor();
        (whole.abs() < 1e12).then_some(whole as i64)
    })?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(more: &str) -> OidcOptions {
        OidcOptions::read(&format!("issuer = https://a.example\nclient-id = x\n{more}")).unwrap()
    }

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    fn of(more: &str, value: Value) -> Grant {
        grant(&options(more), &claims(value), OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn roles_and_tenants_come_from_claims() {
        let found =
            of("", json!({"sub": "u1", "roles": ["read", "upload", "root"], "tenants": "st-mary ward Not/One"}));
        assert_eq!(found.roles, [Role::Read, Role::Upload].into());
        assert_eq!(found.access, Access::Tenants(["st-mary".parse().unwrap(), "ward".parse().unwrap()].into()));
        assert_eq!(found.caller, Caller::Named("u1".parse().unwrap()));
        let nested = "roles-claim = realm_access.roles\nrole engineer = read, operate\ntenants = *";
        let found = of(nested, json!({"sub": "u1", "realm_access": {"roles": ["engineer", "upload"]}}));
        assert_eq!((found.roles, found.access), ([Role::Read, Role::Operate].into(), Access::Everything));
        let dotted =
            of("roles-claim = https://x.example/roles", json!({"sub": "u", "https://x.example/roles": ["read"]}));
        assert_eq!(dotted.roles, [Role::Read].into());
    }

    #[test]
    fn claims_without_rights_give_none() {
        let found = of("", json!({"sub": "u1"}));
        assert_eq!((found.roles.len(), found.access), (0, Access::Tenants(BTreeSet::new())));
        let odd = of("", json!({"sub": "u1", "roles": {"read": true}, "tenants": 7}));
        assert_eq!((odd.roles.len(), odd.access), (0, Access::Tenants(BTreeSet::new())));
        assert!(grant(&options(""), &claims(json!({"roles": ["read"]})), OffsetDateTime::UNIX_EPOCH).is_none());
        let hidden = json!({"sub": "u\u{202e}1"});
        assert!(
            grant(&options(""), &claims(hidden), OffsetDateTime::UNIX_EPOCH).is_none(),
            "a name that no record holds"
        );
    }

    #[test]
    fn expiry_reads_numbers_only() {
        let at = |exp: Value| expiry(&claims(json!({"exp": exp}))).map(OffsetDateTime::unix_timestamp);
        assert_eq!(at(json!(100)), Some(100));
        assert_eq!(at(json!(100.7)), Some(100));
        assert_eq!((at(json!("100")), at(json!(1e300)), at(json!(i64::MAX))), (None, None, None));
    }
}
