//! Base URL of a service, and recognition of references to it.

use crate::datatype::Literal;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// Base URL of a service, by which it recognises references to its own resources.
///
/// All modules recognise local references by this type: the search and its index, the resolver, the containment tree
/// and the update service. Two URLs are the same base if they differ only in `http` or `https`, the case of the host,
/// an explicit default port, trailing slashes, and characters that are percent-encoded without need.
///
/// ```
/// use fhir_devices::datatype::Literal;
/// use fhir_devices::reference::OwnBase;
///
/// let own = OwnBase::new("https://updates.example/ward/fhir/");
/// let same = Literal::parse("http://UPDATES.example:80/w%61rd/fhir/Device/pump/_history/3");
/// assert_eq!(own.localize(same).to_string(), "Device/pump/_history/3");
/// let other = Literal::parse("https://updates.example/icu/fhir/Device/pump");
/// assert_eq!(own.localize(other), other);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OwnBase {
    given: Arc<str>,
    place: Option<Arc<str>>,
}

impl OwnBase {
    /// Creates a base from a URL with or without a trailing slash. A text that is not an `http` or `https` URL is
    /// compared character by character.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { given: base.trim_end_matches('/').into(), place: place(base).map(Into::into) }
    }

    /// Returns the base as given, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Returns whether `base` is the same base.
    #[must_use]
    pub fn is(&self, base: &str) -> bool {
        *self.given == *base || self.place.as_ref().is_some_and(|own| place(base).is_some_and(|place| place == **own))
    }

    /// Converts a reference to this service into a relative one; any other stays as it is. If type or id of the URL are
    /// percent-encoded, use [`normal`](Self::normal).
    #[must_use]
    pub fn localize<'t>(&self, literal: Literal<'t>) -> Literal<'t> {
        match without_slash(literal) {
            Literal::Absolute { base, resource_type, id, version } if self.is(base) => {
                Literal::Relative { resource_type, id, version }
            }
            _ => literal,
        }
    }

    /// Returns the rest of a URL after this base and its slash; `None` if the URL is not below this base.
    ///
    /// ```
    /// use fhir_devices::reference::OwnBase;
    /// let own = OwnBase::new("https://updates.example/ward/fhir");
    /// assert_eq!(own.below("http://updates.example:80/w%61rd/fhir/Device?model=P9"), Some("Device?model=P9"));
    /// assert_eq!(own.below("https://updates.example/ward/fhir2/Device"), None);
    /// ```
    #[must_use]
    pub fn below<'u>(&self, url: &'u str) -> Option<&'u str> {
        // Another spelling of the base has the same number of slashes.
        let slashes = self.given.matches('/').count();
        let end = url.match_indices('/').nth(slashes).map_or(url.len(), |(at, _)| at);
        let (base, rest) = (url.get(..end)?, url.get(end..)?);
        self.is(base).then(|| rest.trim_start_matches('/'))
    }

    /// Normalises the text of a reference for comparison: relative if it points to this service, otherwise in the form
    /// of the index, and without a version.
    #[must_use]
    pub fn normal(&self, text: &str) -> String {
        let literal = Literal::parse(text);
        let decoded = decoded(literal);
        indexed(self.localize(decoded.as_deref().map_or(literal, Literal::parse)))
    }

    /// Returns every form in which the index may hold a reference to `relative`, such as `Device/pump`: relative, and
    /// absolute with this base.
    #[must_use]
    pub fn forms(&self, relative: &str) -> Vec<String> {
        let mut forms = vec![relative.to_owned(), format!("{}/{relative}", self.given)];
        if let Some(place) = &self.place {
            forms.extend(["https", "http"].map(|scheme| format!("{scheme}://{place}/{relative}")));
        }
        forms.sort_unstable();
        forms.dedup();
        forms
    }
}

impl fmt::Display for OwnBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl fmt::Debug for OwnBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnBase").field(&self.given).finish()
    }
}

/// Localizes a reference by the base of a store; without one, only relative references point to the store itself.
pub(crate) fn localize<'t>(own: Option<&OwnBase>, literal: Literal<'t>) -> Literal<'t> {
    own.map_or(literal, |own| own.localize(literal))
}

/// Removes needless percent-encoding of type or id from a URL; `None` for any other reference.
pub(crate) fn decoded(literal: Literal<'_>) -> Option<String> {
    let Literal::Other(text) = literal else { return None };
    if !text.contains('%') || !(text.starts_with("http://") || text.starts_with("https://")) {
        return None;
    }
    let text = unescaped(text);
    let is_restful = matches!(without_slash(Literal::parse(&text)), Literal::Absolute { .. });
    is_restful.then_some(text)
}

/// Returns the form of a reference in the index: without a version, and absolute URLs with a normalised base.
pub(crate) fn indexed(literal: Literal<'_>) -> String {
    let decoded = decoded(literal);
    match without_slash(decoded.as_deref().map_or(literal, Literal::parse)) {
        Literal::Relative { resource_type, id, .. } => format!("{resource_type}/{id}"),
        Literal::Absolute { base, resource_type, id, .. } => match (place(base), base.split_once(':')) {
            (Some(place), Some((scheme, _))) => {
                format!("{}://{place}/{resource_type}/{id}", scheme.to_ascii_lowercase())
            }
            _ => format!("{base}/{resource_type}/{id}"),
        },
        other => other.to_string(),
    }
}

/// Parses a URL without its trailing slashes.
fn without_slash(literal: Literal<'_>) -> Literal<'_> {
    match literal {
        Literal::Other(text) if text.ends_with('/') => match Literal::parse(text.trim_end_matches('/')) {
            absolute @ Literal::Absolute { .. } => absolute,
            _ => literal,
        },
        literal => literal,
    }
}

/// Returns host, port (unless the default of the scheme) and path of a base, normalised.
fn place(base: &str) -> Option<String> {
    let url = Url::parse(base).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain || url.fragment().is_some() {
        return None;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}{port}{}", url.host_str()?, unescaped(url.path().trim_end_matches('/'))))
}

/// Decodes needless percent-encoding in a path, and writes the rest in upper case (RFC 3986, 6.2.2).
fn unescaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some((digits, byte)) = digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?)))
        else {
            out.push('%');
            rest = after;
            continue;
        };
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        rest = after.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://updates.example/ward/fhir";

    #[test]
    fn every_spelling_of_the_base_is_recognised() {
        let own = OwnBase::new(BASE);
        for text in [
            "Device/p",
            "Device/p/_history/2",
            "https://updates.example/ward/fhir/Device/p",
            "http://updates.example/ward/fhir/Device/p/_history/2",
            "https://UPDATES.Example:443/ward/fhir//Device/p",
            "http://updates.example:80/ward/fhir/Device/p/",
            "https://updates.example/w%61rd/%66hir/Device/p",
            "https://updates.example/icu/../ward/fhir/Device/p",
            "https://updates.example/ward/fhir/Device/%70",
            "https://updates.example/ward/fhir/%44evice/p",
            "http://updates.example:80/w%61rd/fhir/Device/%70/_history/%32",
            "https://updates.example/ward/fhir/Device/%70/",
        ] {
            assert_eq!(own.normal(text), "Device/p", "{text}");
        }
    }

    #[test]
    fn references_to_other_services_stay_absolute() {
        let own = OwnBase::new(BASE);
        for text in [
            "https://updates.example/WARD/fhir/Device/p",
            "https://updates.example:8443/ward/fhir/Device/p",
            "https://updates.example/ward/fhir2/Device/p",
            "https://updates.example/ward%2Ffhir/Device/p",
            "https://updates.example/ward/fhir/Device%2Fp",
            "https://updates.example/ward/fhir/Device/p%3Fx",
            "https://x@updates.example/ward/fhir/Device/p",
            "https://updates.example.org/ward/fhir/Device/p",
            "https://updates.example/Device/p",
            "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
            "#p",
        ] {
            assert_ne!(own.normal(text), "Device/p", "{text}");
            assert_eq!(own.localize(Literal::parse(text)), Literal::parse(text), "{text}");
        }
    }

    #[test]
    fn index_form_is_among_the_searched_forms() {
        let forms = OwnBase::new(BASE).forms("Device/p");
        for text in [
            "http://updates.example:80/ward/fhir/Device/p",
            "https://Updates.example/ward/fhir//Device/p/_history/1",
            "https://updates.example/ward/%66hir/Device/p/",
            "https://updates.example/ward/fhir/Device/%70",
        ] {
            assert!(forms.contains(&indexed(Literal::parse(text))), "{text}");
        }
    }
}
