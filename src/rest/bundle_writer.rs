//! Writing Bundles from JSON resources.

use super::Body;
use crate::convert::{self, Options, Version};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

/// Returns a text as a JSON string.
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
    version: Version,
    conversion: Arc<Options>,
}

impl BundleWriter {
    /// Returns a bundle of a type, with its total and its links, whose resources are written in a version of FHIR.
    pub(super) fn new(
        kind: &str,
        total: Option<usize>,
        links: &[(&str, String)],
        version: Version,
        conversion: Arc<Options>,
    ) -> Self {
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
        Self { body: Body::default(), out: out.into_bytes(), empty: true, version, conversion }
    }

    /// One more entry: its address and its other members as in STU3, and its resource as it is shown.
    pub(super) fn entry(&mut self, full_url: Option<&str>, resource: Option<&Body>, members: &str) {
        self.out.extend_from_slice(if self.empty { b",\"entry\":[{" } else { b",{" });
        self.empty = false;
        let url = full_url.map(|url| format!("\"fullUrl\":{},", quoted(url))).unwrap_or_default();
        let mut members = format!("{url}{members}");
        if self.version != Version::Stu3 {
            let component = full_url.unwrap_or(&members).contains("/DeviceComponent/") && resource.is_some();
            let whole = format!("{{{members}}}");
            if let Ok(entry) = convert::entry(self.version, &whole, component, &self.conversion) {
                let inner = entry.strip_prefix('{').and_then(|entry| entry.strip_suffix('}'));
                members = inner.unwrap_or_default().to_owned();
            }
        }
        if let Some(resource) = resource {
            self.out.extend_from_slice(b"\"resource\":");
            resource.parts().iter().for_each(|part| self.part(part));
            self.out.push(b',');
        }
        self.out.extend_from_slice(members.as_bytes());
        self.out.push(b'}');
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
