//! Names of topics.

use crate::primitive::Id;
use crate::publish::Slot;
use crate::store::Tenant;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything that a level of a topic does not have as it is: its own separators and wildcards above all.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the topic of a slot.
pub(super) fn offer(prefix: &str, tenant: &Tenant, slot: &Slot) -> String {
    let device = utf8_percent_encode(slot.device.as_str(), &ENCODED);
    let component = utf8_percent_encode(slot.component.as_str(), &ENCODED);
    format!("{prefix}/{tenant}/{device}/{component}/offer")
}

/// Returns the filter of all slots.
pub(super) fn all_offers(prefix: &str) -> String {
    format!("{prefix}/+/+/+/offer")
}

/// Returns whether a topic is that of a slot.
pub(super) fn is_offer(prefix: &str, topic: &str) -> bool {
    let levels = topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).map(|rest| rest.split('/'));
    levels.is_some_and(|mut levels| levels.clone().count() == 4 && levels.next_back() == Some("offer"))
}

/// Returns the topic by which a client finds out that it has received everything that came before.
pub(super) fn ready(prefix: &str, client: &str) -> String {
    format!("{prefix}/{}/ready", utf8_percent_encode(client, &ENCODED))
}

/// Returns the filter of the reports of all devices.
pub(super) fn all_reports(prefix: &str) -> String {
    format!("{prefix}/+/+/report")
}

/// Returns whose reports a topic has.
pub(super) fn reporter(prefix: &str, topic: &str) -> Option<(Tenant, Id)> {
    let mut levels = topic.strip_prefix(prefix)?.strip_prefix('/')?.split('/');
    let (tenant, device, kind) = (levels.next()?, levels.next()?, levels.next()?);
    if kind != "report" || levels.next().is_some() {
        return None;
    }
    let device = percent_decode_str(device).decode_utf8().ok()?;
    Some((tenant.parse().ok()?, Id::new(&*device).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_level() {
        let tenant: Tenant = "st-mary".parse().unwrap();
        let slot = |device: &str| Slot { device: device.parse().unwrap(), component: "mds".parse().unwrap() };
        for (device, level) in [("pump-7", "pump-7"), ("a/+/#", "a%2F%2B%2F%23"), ("50%2F", "50%252F")] {
            let topic = offer("fd", &tenant, &slot(device));
            assert_eq!(topic, format!("fd/st-mary/{level}/mds/offer"));
            assert!(is_offer("fd", &topic), "{topic}");
        }
        for topic in ["fd/offer", "fd/a/b/offer", "fd/a/b/c/d/offer", "fdx/a/b/c/offer", "fd/a/b/c/other", ""] {
            assert!(!is_offer("fd", topic), "{topic}");
        }
    }

    #[test]
    fn reporter_is_read_from_its_topic() {
        let (tenant, device) = reporter("fd", "fd/st-mary/pump-7/report").unwrap();
        assert_eq!((tenant.as_str(), device.as_str()), ("st-mary", "pump-7"));
        for topic in
            ["fd/st-mary/report", "fd/st-mary/p/x/report", "fd/ST MARY/p/report", "fd/st-mary/a%20b/report", "x"]
        {
            assert_eq!(reporter("fd", topic), None, "{topic}");
        }
    }
}
