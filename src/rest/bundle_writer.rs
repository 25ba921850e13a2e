//! Bundles, written from resources that are JSON already.

use super::Body;
use bytes::Bytes;
use serde_json::Value;

/// A text as a JSON string.
pub(super) fn quoted(text: impl Into<String>) -> String {
    Value::from(text.into()).to_string()
}

/// A part of a resource that is larger is shared, and not copied into the Bundle.
const COPIED: usize = 16 << 10;

/// A Bundle that is being written.
#[derive(Debug)]
pub(super) struct BundleWriter {
    body: Body,
    out: Vec<u8>,
    empty: bool,
}

impl BundleWriter {
    /// A bundle of a type, with its total and its links.
    pub(super) fn new(kind: &str, total: Option<usize>, links: &[(&str, String)]) -> Self {
        let mut out = format!("{{\"resourceType\":\"Bundle\",\"type\":\"{kind}\"");
        if let Some(total) = total {
            out += &format!(",\"total\":{total}");
        }
        let links: Vec<String> = links
            .iter()
            .map(|(relation, url)| format!("{{\"relation\":\"{relation}\",\"url\":{}}}", quoted(url.as_str())))
            .collect();
        if !links.is_empty() {
            out += &format!(",\"link\":[{}]", links.join(","));
        }
        Self { body: Body::default(), out: out.into_bytes(), empty: true }
    }

    /// One more entry: its address, its resource, and a member of that name that is JSON already.
    pub(super) fn entry(&mut self, full_url: Option<&str>, resource: Option<&Body>, named: &str, member: &str) {
        self.out.extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        if let Some(url) = full_url {
            self.out.extend_from_slice(format!("\"fullUrl\":{},", quoted(url)).as_bytes());
        }
        if let Some(resource) = resource {
            self.out.extend_from_slice(b"\"resource\":");
            resource.parts().iter().for_each(|part| self.part(part));
            self.out.push(b',');
        }
        self.out.extend_from_slice(format!("\"{named}\":{member}}}").as_bytes());
    }

    fn part(&mut self, part: &Bytes) {
        if part.len() <= COPIED {
            self.out.extend_from_slice(part);
        } else {
            self.body.push(std::mem::take(&mut self.out));
            self.body.push(part.clone());
        }
    }

    pub(super) fn finish(mut self) -> Body {
        self.out.extend_from_slice(if self.empty { b"}" } else { b"]}" });
        self.body.push(self.out);
        self.body
    }
}
