//! A client that checks every answer against the specification.

use fhir_devices::backend::Memory;
use fhir_devices::rest::{Request, Response, Server};
use fhir_devices::store::{ResourceStore, TenantResources};
use fhir_devices::{Bundle, OperationOutcome, Validate};
use serde_json::Value;
use std::sync::Arc;

pub(crate) const BASE: &str = "https://here.example/ward/fhir";

pub(crate) struct Client(pub(crate) Server);

impl Client {
    pub(crate) fn new() -> Self {
        Self::over(Memory::new())
    }

    pub(crate) fn over(store: impl ResourceStore) -> Self {
        let store: Arc<dyn ResourceStore> = Arc::new(store);
        Self(Server::new(TenantResources::new(store, "ward".parse().unwrap()), BASE))
    }

    /// Sends a request: `GET Device?model=x`.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let (method, url) = line.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut request = Request::new(method, path).query(query).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("Content-Type", "application/fhir+json");
        }
        let response = self.0.handle(&request).await;
        assert_ne!(response.status, 500, "{line}: {response:?}");
        if response.status >= 400 {
            OperationOutcome::from_json(&response.body).unwrap();
        } else if json(&response)["resourceType"] == "Bundle" {
            let bundle = Bundle::from_json(&response.body).unwrap_or_else(|report| panic!("{line}: {report}"));
            // A CapabilityStatement in an answer is of a type that is not modelled.
            let report = bundle.validate();
            assert!(report.iter().all(|issue| issue.rule == "unchecked-type"), "{line}: {report}");
        }
        response
    }

    pub(crate) async fn get(&self, url: &str) -> Response {
        self.send(&format!("GET {url}"), &[], "").await
    }

    pub(crate) async fn put(&self, body: &Value) -> Response {
        let line = format!("PUT {}/{}", body["resourceType"].as_str().unwrap(), body["id"].as_str().unwrap());
        let response = self.send(&line, &[], &body.to_string()).await;
        assert!(response.status < 300, "{}", text(&response));
        response
    }

    /// Sends a request that is answered with a bundle.
    pub(crate) async fn bundle(&self, url: &str) -> Value {
        let response = self.get(url).await;
        assert_eq!(response.status, 200, "{url}: {}", text(&response));
        json(&response)
    }

    /// Returns the ids that a search finds over all pages, and the total on the last one.
    pub(crate) async fn found(&self, url: &str) -> Vec<String> {
        let mut url = url.to_owned();
        let mut ids = Vec::new();
        for _ in 0..1_000 {
            let bundle = self.bundle(&url).await;
            ids.extend(modes(&bundle, "match"));
            match link(&bundle, "next") {
                Some(next) => url = next,
                None => {
                    assert_eq!(bundle["total"], ids.len(), "{url}");
                    return ids;
                }
            }
        }
        panic!("the pages of `{url}` have no end");
    }

    /// Checks that a request is refused, and returns the rules of all issues.
    pub(crate) async fn refused(&self, line: &str, headers: &[(&str, &str)], body: &str, status: u16) -> Vec<String> {
        let response = self.send(line, headers, body).await;
        assert_eq!(response.status, status, "{line}: {}", text(&response));
        rules(&json(&response))
    }
}

pub(crate) fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

pub(crate) fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

/// Returns the rules of an outcome's issues.
pub(crate) fn rules(outcome: &Value) -> Vec<String> {
    let issues = outcome["issue"].as_array().unwrap();
    issues.iter().map(|issue| issue["details"]["coding"][0]["code"].as_str().unwrap().to_owned()).collect()
}

/// Returns the ids of the entries with a search mode.
pub(crate) fn modes(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let entries = entries.filter(|entry| entry["search"]["mode"] == mode);
    let id = |entry: &Value| {
        let id = entry["resource"]["id"].as_str().unwrap_or_default().to_owned();
        if mode != "outcome" {
            let kind = entry["resource"]["resourceType"].as_str().unwrap();
            assert_eq!(entry["fullUrl"], format!("{BASE}/{kind}/{id}"));
        }
        id
    };
    entries.map(id).collect()
}

/// Returns a link, below the base.
pub(crate) fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    let link = links.iter().find(|link| link["relation"] == relation)?;
    Some(link["url"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned())
}
