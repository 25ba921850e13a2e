//! What devices report by their twins.

use super::{IotHub, SECTION, member, name};
use crate::primitive::Id;
use crate::publish::PublishError;
use crate::service::{DeviceReport, InvalidReport, MAX_REPORTS, RolloutError};
use crate::store::Tenant;
use serde_json::Value;
use std::future::Future;

/// How many devices a query names.
const DEVICES_AT_ONCE: usize = 100;

/// The result of [`IotHub::pull_reports`].
///
/// ```
/// use fhir_devices::backend::iot_hub::PulledReports;
/// assert_eq!(PulledReports::default().refused, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledReports {
    /// The devices whose twins have reports.
    pub devices: u64,
    /// The reports that were recorded, or known.
    pub recorded: u64,
    /// The reports that were refused: they are none, or about what is not the device's.
    pub refused: u64,
    /// Why the last of those was.
    pub last_refusal: Option<String>,
}

/// Reads the reports of the section `fhirUpdate` of a twin's reported properties, as the change events of a hub bring it too.
///
/// ```
/// use fhir_devices::backend::iot_hub::reports_of;
/// let section = serde_json::json!({ "mds": { "kind": "versions", "items": [{ "component": "mds", "version": "2.4.0" }] } });
/// assert_eq!(reports_of(&section)?.len(), 1);
/// # Ok::<(), fhir_devices::service::InvalidReport>(())
/// ```
///
/// # Errors
/// [`InvalidReport`]
pub fn reports_of(section: &Value) -> Result<Vec<DeviceReport>, InvalidReport> {
    let malformed = |why: String| InvalidReport::Malformed(why);
    let section = section.as_object().ok_or_else(|| malformed("it is no object".to_owned()))?;
    let mut reports = Vec::new();
    // What begins with a dollar is the hub's own, as `$metadata` is.
    for value in section.iter().filter(|(key, _)| !key.starts_with('$')).map(|(_, value)| value) {
        match value {
            Value::Null => {}
            Value::String(text) => reports.extend(DeviceReport::read(text.as_bytes())?),
            value => reports.extend(DeviceReport::read(value.to_string().as_bytes())?),
        }
        if reports.len() > MAX_REPORTS {
            return Err(InvalidReport::TooMany { count: reports.len() });
        }
    }
    Ok(reports)
}

impl IotHub {
    /// Reads what these devices of a tenant report by their twins, and has it recorded. A twin keeps what it reports, so each call
    /// finds it again: it is safe to repeat.
    ///
    /// A hub takes few queries a minute, and 100 devices are one: ask for those with a live deployment alone, as
    /// [`RolloutService::live_devices`](crate::service::RolloutService::live_devices) lists them.
    ///
    /// # Errors
    /// [`PublishError`], where the hub does not answer; the reports before are recorded.
    pub async fn pull_reports<F>(
        &self,
        tenant: &Tenant,
        devices: &[Id],
        mut record: impl FnMut(Id, DeviceReport) -> F,
    ) -> Result<PulledReports, PublishError>
    where
        F: Future<Output = Result<(), RolloutError>>,
    {
        let mut pulled = PulledReports::default();
        let own = self.options.tenant();
        for part in devices.chunks(DEVICES_AT_ONCE) {
            // A name has no quotation mark in it: that would be percent-encoded.
            let names = part.iter().filter_map(|device| name::device(own, tenant, device.as_str()));
            let names: Vec<_> = names.map(|name| format!("'{name}'")).collect();
            if names.is_empty() {
                continue;
            }
            let query = format!(
                "SELECT deviceId, properties.reported.{SECTION} AS section FROM devices WHERE deviceId IN [{}]",
                names.join(", ")
            );
            let mut page = None;
            loop {
                let (items, next) = self.query(&query, page.as_deref()).await?;
                for item in items {
                    self.record(tenant, &item, &mut record, &mut pulled).await;
                }
                match next {
                    Some(next) => page = Some(next),
                    None => break,
                }
            }
        }
        Ok(pulled)
    }

    async fn record<F>(
        &self,
        tenant: &Tenant,
        item: &Value,
        record: &mut impl FnMut(Id, DeviceReport) -> F,
        pulled: &mut PulledReports,
    ) where
        F: Future<Output = Result<(), RolloutError>>,
    {
        let name = member(item, "deviceId").as_str().unwrap_or_default();
        let section = member(item, "section");
        let Some((_, device)) = name::owner(self.options.tenant(), name).filter(|(owner, _)| owner == tenant) else {
            return;
        };
        if section.is_null() {
            return;
        }
        pulled.devices += 1;
        let mut refuse = |why: &dyn std::fmt::Display| {
            pulled.refused += 1;
            pulled.last_refusal = Some(format!("device `{device}` of `{tenant}`: {why}"));
        };
        let reports = match reports_of(section) {
            Ok(reports) => reports,
            Err(error) => return refuse(&error),
        };
        for report in reports {
            match record(device.clone(), report).await {
                Ok(()) => pulled.recorded += 1,
                // The next call finds it again.
                Err(error) => {
                    pulled.refused += 1;
                    pulled.last_refusal = Some(format!("device `{device}` of `{tenant}`: {error}"));
                }
            }
        }
    }
}
