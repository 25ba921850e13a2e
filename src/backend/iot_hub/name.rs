//! Names in a hub.

use crate::primitive::Id;
use crate::store::Tenant;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest name of a device.
const MAX_NAME: usize = 128;

/// What a name of a device does not have as it is. A hub takes `%` in names.
const IN_NAME: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// What a path does not have as it is.
pub(super) const IN_PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a key of a twin does not have as it is: a point separates keys in queries.
const IN_KEY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Returns the name of a device in the hub; `None` where it has none, because it is too long or of another tenant than the hub.
pub(super) fn device(hub_of: Option<&Tenant>, tenant: &Tenant, device: &str) -> Option<String> {
    let device = utf8_percent_encode(device, &IN_NAME);
    let name = match hub_of {
        Some(own) if own != tenant => return None,
        Some(_) => device.to_string(),
        None => format!("{tenant}:{device}"),
    };
    Some(name).filter(|name| name.len() <= MAX_NAME)
}

/// Returns which device of which tenant a name is.
pub(super) fn owner(hub_of: Option<&Tenant>, name: &str) -> Option<(Tenant, Id)> {
    let (tenant, device) = match hub_of {
        Some(own) => (own.clone(), name),
        None => {
            let (tenant, device) = name.split_once(':')?;
            (tenant.parse().ok()?, device)
        }
    };
    Some((tenant, Id::new(&*percent_decode_str(device).decode_utf8().ok()?).ok()?))
}

/// Returns the key of a component in a twin.
pub(super) fn key(component: &Id) -> String {
    utf8_percent_encode(component.as_str(), &IN_KEY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_tenants_have_names_of_their_own() {
        let (mary, john): (Tenant, Tenant) = ("st-mary".parse().unwrap(), "st-john".parse().unwrap());
        assert_eq!(device(None, &mary, "pump-7").as_deref(), Some("st-mary:pump-7"));
        assert_eq!(device(None, &mary, "a/b:c").as_deref(), Some("st-mary:a%2Fb%3Ac"));
        assert_eq!(device(Some(&mary), &mary, "pump-7").as_deref(), Some("pump-7"));
        assert_eq!(device(Some(&mary), &john, "pump-7"), None);
        assert_eq!(device(None, &mary, &"x".repeat(121)), None);
        for (hub_of, name) in [(None, "st-mary:pump-7"), (Some(&mary), "pump-7")] {
            let (tenant, id) = owner(hub_of, name).unwrap();
            assert_eq!((tenant.as_str(), id.as_str()), ("st-mary", "pump-7"));
        }
        assert_eq!((owner(None, "pump-7"), owner(None, "ST:p"), owner(None, "a:b:c")), (None, None, None));
        assert_eq!(key(&"mds.1".parse().unwrap()), "mds%2E1");
    }
}
