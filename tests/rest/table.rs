//! The table of interactions in the manual, row by row.

use super::client::{Client, text};
use fhir_devices::backend::Memory;
use serde_json::json;
use std::sync::Arc;

const TABLE: &str = include_str!("../../src/manual/interactions.rs");

/// A row of the table: an interaction, its request, and the status of the answer.
fn rows() -> Vec<(&'static str, &'static str, u16)> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(2);
    let row = |line: &'static str| {
        let mut cells = line.trim_end_matches(" |").split(" | ");
        let (name, request, status) = (cells.next()?, cells.next()?, cells.next()?);
        Some((name, request.strip_prefix('`')?.strip_suffix('`')?, status.parse().ok()?))
    };
    rows.map(|line| row(line).unwrap_or_else(|| panic!("`{line}` is no row"))).collect()
}

async fn ward() -> Client {
    let client = super::subscriptions::with_subscriptions(&Arc::new(Memory::new()), |it| it);
    client.put(&json!({"resourceType": "Device", "id": "d", "identifier": [{"value": "s"}]})).await;
    for (kind, id) in [("DeviceComponent", "c1"), ("DeviceComponent", "c2"), ("DeviceMetric", "m")] {
        let mut part = json!({"resourceType": kind, "id": id, "identifier": {"value": id},
            "type": {"coding": [{"code": "x"}]}, "source": {"reference": "Device/d"}});
        if kind == "DeviceMetric" {
            part["category"] = "setting".into();
        }
        client.put(&part).await;
    }
    client
}

#[tokio::test]
async fn each_interaction_is_answered_as_the_manual_says() {
    let rows = rows();
    assert!(rows.len() > 60, "{}", rows.len());
    for (name, request, status) in rows {
        let client = ward().await;
        let (line, kind) = request.split_once(" as ").unwrap_or((request, ""));
        let (line, channel) = line.split_once(" with ").unwrap_or((line, "rest-hook"));
        let (line, header) = ["if-match", "if-none-exist"]
            .iter()
            .find_map(|header| Some((line.split_once(&format!(" {header} "))?, *header)))
            .map_or((line, None), |((line, value), header)| (line, Some((header, value))));
        let line = if line.contains(' ') { line.to_owned() } else { format!("{line} ") };
        let id =
            line.split(['/', ' ', '?']).nth(2).filter(|id| line.starts_with("PUT") && !id.contains('=')).unwrap_or("d");
        let body = match &line {
            line if line.starts_with("PATCH") => json!([{"op": "add", "path": "/lotNumber", "value": "1"}]).to_string(),
            line if line.contains("Subscription") => {
                let mut subscription = super::subscriptions::wanted();
                subscription["channel"]["type"] = channel.into();
                subscription["id"] = "none".into();
                subscription.to_string()
            }
            line if line.contains("$meta") => json!({"resourceType": "Parameters", "parameter": [
                {"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]})
            .to_string(),
            line if line.ends_with("_search") => "_id=d".to_owned(),
            line if *line == "POST " => json!({"resourceType": "Bundle", "type": "batch"}).to_string(),
            line if line.starts_with("P") => {
                json!({"resourceType": "Device", "id": id, "identifier": [{"value": "s"}]}).to_string()
            }
            _ => String::new(),
        };
        let kind = match kind {
            "" if line.ends_with("_search") => "application/x-www-form-urlencoded",
            "" => "application/fhir+json",
            kind => kind,
        };
        let mut headers = vec![("Content-Type", kind)];
        headers.extend(header);
        let answer = client.send(&line, &headers, &body).await;
        assert_eq!(answer.status, status, "{name}: `{request}`: {}", text(&answer));
    }
}
