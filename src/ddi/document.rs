//! The documents that devices read.

use crate::primitive::Id;
use crate::publish::{ActionNumber, Offer};
use crate::store::{Sha256, Tenant, hex};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The longest time between two polls: clients read less than a day.
const MAX_POLLING: u64 = 86_399;

/// The links that a device is shown.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) cancel: Option<ActionNumber>,
    pub(super) deployment: Option<ActionNumber>,
    pub(super) installed: Option<ActionNumber>,
    pub(super) attributes: bool,
}

/// Returns when a device polls again: up to a fifth later than the interval, so that devices that were started together do not
/// go on polling together. It is the same each time.
pub(super) fn polling(tenant: &Tenant, device: &Id, every: Duration) -> String {
    let digest = Sha256::of(format!("{tenant}/{device}").as_bytes());
    let drawn = digest.0.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let every = every.as_secs().max(1);
    let seconds = every.saturating_add(drawn % (every / 5).saturating_add(1)).min(MAX_POLLING);
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Returns the answer to a poll. `at` is the address of the device.
pub(super) fn poll(at: &str, sleep: &str, links: &Links) -> String {
    let mut shown = Map::new();
    let mut link = |name: &str, path: String| {
        shown.insert(name.to_owned(), json!({ "href": format!("{at}/{path}") }));
    };
    if let Some(number) = links.cancel {
        link("cancelAction", format!("cancelAction/{number}"));
    }
    if let Some(number) = links.deployment {
        link("deploymentBase", format!("deploymentBase/{number}"));
    }
    if let Some(number) = links.installed {
        link("installedBase", format!("installedBase/{number}"));
    }
    if links.attributes {
        link("configData", "configData".to_owned());
    }
    json!({ "config": { "polling": { "sleep": sleep } }, "_links": shown }).to_string()
}

/// Returns the document of a deployment. `link` is where the one file of the offer is.
pub(super) fn deployment(number: ActionNumber, component: &Id, offer: &Offer, link: &str, available: bool) -> String {
    let artifacts: Vec<Value> = offer
        .files
        .iter()
        .map(|file| {
            let mut hashes = Map::new();
            if let Some(sha1) = &file.sha1 {
                hashes.insert("sha1".to_owned(), json!(sha1));
            }
            hashes.insert("sha256".to_owned(), json!(file.sha256));
            // The crate `hawkbit` reads no document without the member. A client that compares it refuses the file.
            hashes.insert("md5".to_owned(), json!(""));
            // Which of both a client follows depends on its version.
            let links = json!({ "download": { "href": link }, "download-http": { "href": link } });
            json!({ "filename": file.name, "hashes": hashes, "size": file.size, "_links": links })
        })
        .collect();
    let chunk = json!({
        "part": component,
        "name": offer.name,
        "version": offer.version,
        "artifacts": artifacts,
    });
    let handling = if available { "forced" } else { "skip" };
    let mut deployment = json!({ "download": handling, "update": handling, "chunks": [chunk] });
    if let (false, Some(deployment)) = (available, deployment.as_object_mut()) {
        deployment.insert("maintenanceWindow".to_owned(), json!("unavailable"));
    }
    json!({ "id": number.to_string(), "deployment": deployment }).to_string()
}

/// Returns the document of a cancellation. The number of a cancellation is that of the action that is to be stopped.
pub(super) fn cancellation(number: ActionNumber) -> String {
    let id = number.to_string();
    json!({ "id": id, "cancelAction": { "stopId": id } }).to_string()
}

/// Returns the document of confirmations: each action is confirmed by itself.
pub(super) fn confirmations() -> String {
    json!({ "autoConfirm": { "active": true }, "_links": {} }).to_string()
}

/// Returns the document of an action that is confirmed already.
pub(super) fn confirmation(number: ActionNumber) -> String {
    json!({ "id": number.to_string(), "confirmation": { "state": "confirmed" } }).to_string()
}

/// Returns the entity tag of a document.
pub(super) fn tag(document: &str) -> String {
    let digest = Sha256::of(document.as_bytes());
    format!("\"{}\"", hex(digest.0.get(..16).unwrap_or_default(), &mut [0; 64]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_varies_by_device_within_a_fifth_and_a_day() {
        let tenant = "ward".parse().unwrap();
        let of = |device: &str, seconds| polling(&tenant, &device.parse().unwrap(), Duration::from_secs(seconds));
        let all: std::collections::BTreeSet<_> = (0..100).map(|number| of(&format!("pump-{number}"), 300)).collect();
        assert!(all.len() > 30 && all.iter().all(|text| ("00:05:00".."00:06:01").contains(&text.as_str())), "{all:?}");
        assert_eq!(of("pump-1", 300), of("pump-1", 300));
        assert_eq!(of("pump-1", 0), "00:00:01");
        assert_eq!(of("pump-1", 86_399), "23:59:59");
        assert_eq!(of("pump-1", u64::MAX), "23:59:59");
    }
}
