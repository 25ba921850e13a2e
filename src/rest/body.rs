//! Response bodies, in parts that may be shared with a store.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

/// The body of a response: bytes in one or several parts. The parts of a large resource are shared with the store that keeps
/// it, so that a page takes little memory; [`into_parts`](Self::into_parts) gives them to whoever sends them.
///
/// As `[u8]` it is one text; that is put together at the first use where there are several parts.
///
/// ```
/// use fhir_devices::rest::Body;
/// let body = Body::from("{}");
/// assert_eq!((&*body, body.len()), (&b"{}"[..], 2));
/// assert_eq!(body.into_parts(), ["{}"]);
/// ```
#[derive(Clone, Default)]
pub struct Body {
    parts: Vec<Bytes>,
    whole: OnceLock<Bytes>,
}

impl Body {
    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Bytes::is_empty)
    }

    /// Returns the parts, in order.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// Returns the parts.
    pub(super) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Adds a part at the end.
    pub(super) fn push(&mut self, part: impl Into<Bytes>) {
        let part = part.into();
        if !part.is_empty() {
            self.parts.push(part);
            self.whole = OnceLock::new();
        }
    }

    /// Returns all in one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            several => self.whole.get_or_init(|| several.concat().into()).clone(),
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.parts.as_slice() {
            [] => &[],
            [one] => one,
            several => self.whole.get_or_init(|| several.concat().into()),
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let mut body = Self::default();
        body.push(bytes);
        body
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && **self == **other
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().fmt(f)
    }
}
