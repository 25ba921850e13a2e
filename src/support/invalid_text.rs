//! Error for text in a wrong format.

/// Error for text that is not a valid tenant, key, version, digest or page token.
///
/// ```
/// use fhir_devices::store::Tenant;
/// let error = "St Mary".parse::<Tenant>().unwrap_err();
/// assert_eq!(error.to_string(), "`St Mary` is not a tenant: only a to z, 0 to 9 and `-` are allowed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {wanted}: {reason}")]
pub struct InvalidText {
    /// Expected kind of text, with its article.
    pub wanted: &'static str,
    /// Text found, cut to its first 64 characters.
    pub found: String,
    /// Violated condition.
    pub reason: &'static str,
}

impl InvalidText {
    pub(crate) fn new(wanted: &'static str, found: &str, reason: &'static str) -> Self {
        let mut cut: String = found.chars().take(64).collect();
        if cut.len() < found.len() {
            cut.push('…');
        }
        Self { wanted, found: cut, reason }
    }
}
