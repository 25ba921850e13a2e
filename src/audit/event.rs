//! JSON text of an event, parsed by a higher module.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Event of a release, rollout, lane or deployment: one JSON object without white space between its tokens.
///
/// [`update::rollout::Event`](crate::update::rollout::Event) parses it.
///
/// ```
/// use fhir_devices::audit::EventText;
/// assert_eq!(EventText::new(r#"{"action":"claimed"}"#).unwrap().as_str(), r#"{"action":"claimed"}"#);
/// assert!(EventText::new(r#"{ "action":"claimed" }"#).is_none());
/// assert!(EventText::new("[]").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventText(Box<str>);

impl EventText {
    /// Creates an event from its text; `None` unless the text is one JSON object without white space between its
    /// tokens.
    #[must_use]
    pub fn new(json: &str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(json).ok()?;
        (raw.get() == json && json.starts_with('{') && is_compact(json)).then(|| Self(json.into()))
    }

    /// Serializes a value as an event; `None` unless the value serializes as an object.
    pub(crate) fn of(value: &impl Serialize) -> Option<Self> {
        serde_json::to_string(value).ok().filter(|json| json.starts_with('{')).map(|json| Self(json.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether JSON has no white space outside strings.
fn is_compact(json: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'\n' | b'\r' | b'\t' if !quoted => return false,
            _ => {}
        }
    }
    true
}

impl Serialize for EventText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::new(raw.get()).ok_or_else(|| serde::de::Error::custom("the event is no JSON object without white space"))
    }
}
