//! Bundles, written from resources that are JSON already.

use serde_json::Value;

/// A text as a JSON string.
pub(super) fn quoted(text: impl Into<String>) -> String {
    Value::from(text.into()).to_string()
}

/// A Bundle that is being written.
#[derive(Debug)]
pub(super) struct BundleWriter {
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
        Self { out: out.into_bytes(), empty: true }
    }

    /// One more entry: its address, its resource, and a member of that name that is JSON already.
    pub(super) fn entry(&mut self, full_url: Option<&str>, resource: Option<&[u8]>, named: &str, member: &str) {
        self.out.extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        if let Some(url) = full_url {
            self.out.extend_from_slice(format!("\"fullUrl\":{},", quoted(url)).as_bytes());
        }
        if let Some(resource) = resource {
            self.out.extend_from_slice(b"\"resource\":");
            self.out.extend_from_slice(resource);
            self.out.push(b',');
        }
        self.out.extend_from_slice(format!("\"{named}\":{member}}}").as_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(if self.empty { b"}" } else { b"]}" });
        self.out
    }
}
