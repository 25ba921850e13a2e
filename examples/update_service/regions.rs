//! Regions of devices, and how they are reached, as the command line says.

use crate::settings::{Reached, Settings};
use fhir_devices::publish::{Publisher, RegionId};
use fhir_devices::server::UpdateServer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The regions that bring reports of devices by themselves.
#[derive(Default)]
pub(crate) struct Reporting {
    #[cfg(feature = "iot-hub")]
    hubs: Vec<(RegionId, Arc<fhir_devices::backend::IotHub>)>,
    #[cfg(feature = "mqtt")]
    brokers: Vec<(RegionId, Arc<fhir_devices::backend::Mqtt>)>,
}

type Regions = Vec<(RegionId, Arc<dyn Publisher>)>;

/// Opens the regions of the settings, within the runtime. Nothing is waited for: one that cannot be reached holds up no other.
///
/// # Errors
/// A file cannot be read or lacks something, or the build is without the feature.
pub(crate) fn open(settings: &Settings, app: &UpdateServer) -> Result<(Regions, Reporting), String> {
    let (mut regions, mut reporting) = (Regions::new(), Reporting::default());
    for (name, reached) in &settings.regions {
        let publisher = match reached {
            Reached::Slots => app.slots(name.clone()).1,
            Reached::IotHub(file) => hub(name, file, &mut reporting)?,
            Reached::Mqtt(url) => broker(name, url, settings.region_files.get(name), &mut reporting)?,
        };
        regions.push((name.clone(), publisher));
    }
    if let Some((name, _)) = settings.region_files.iter().find(|(name, _)| {
        !settings.regions.iter().any(|(known, reached)| known == *name && matches!(reached, Reached::Mqtt(_)))
    }) {
        return Err(format!("`--region-file {name}=..` is of no region that is reached by `mqtt:`"));
    }
    Ok((regions, reporting))
}

#[cfg(feature = "iot-hub")]
fn hub(name: &RegionId, file: &Path, reporting: &mut Reporting) -> Result<Arc<dyn Publisher>, String> {
    use fhir_devices::backend::iot_hub::Options;
    let lines = Lines::read(name, file)?;
    let mut options =
        Options::from_connection_string(lines.needed("connection")?).map_err(|error| lines.wrong(&error))?;
    if let Some(tenant) = lines.get("tenant") {
        options = options.with_tenant(tenant.parse().map_err(|error| lines.wrong(&error))?);
    }
    if let Some(roots) = lines.file("ca")? {
        options = options.with_roots(&roots).map_err(|error| lines.wrong(&error))?;
    }
    lines.only(&["connection", "tenant", "ca"])?;
    let hub = Arc::new(options.open().map_err(|error| lines.wrong(&error))?);
    reporting.hubs.push((name.clone(), Arc::clone(&hub)));
    Ok(hub)
}

#[cfg(not(feature = "iot-hub"))]
fn hub(name: &RegionId, _: &Path, _: &mut Reporting) -> Result<Arc<dyn Publisher>, String> {
    Err(format!("`--region {name}=iot-hub:..` needs a build with the feature `iot-hub`, and this one is without it"))
}

#[cfg(feature = "mqtt")]
fn broker(
    name: &RegionId,
    url: &str,
    file: Option<&PathBuf>,
    reporting: &mut Reporting,
) -> Result<Arc<dyn Publisher>, String> {
    use fhir_devices::backend::{Mqtt, mqtt::Options};
    let mut options = Options::new(url, name).map_err(|error| format!("`--region {name}=mqtt:..`: {error}"))?;
    if let Some(file) = file {
        let lines = Lines::read(name, file)?;
        if let Some(user) = lines.get("user") {
            options = options.with_credentials(user, lines.needed("password")?);
        }
        if let Some(roots) = lines.file("ca")? {
            options = options.with_roots(&roots).map_err(|error| lines.wrong(&error))?;
        }
        if let Some(identity) = lines.file("certificate")? {
            options = options.with_identity(&identity).map_err(|error| lines.wrong(&error))?;
        }
        if let Some(prefix) = lines.get("prefix") {
            options = options.with_prefix(prefix).map_err(|error| lines.wrong(&error))?;
        }
        lines.only(&["user", "password", "ca", "certificate", "prefix"])?;
    }
    let broker = Mqtt::connect(options).map_err(|error| format!("`--region {name}=mqtt:..`: {error}"))?;
    let broker = Arc::new(broker);
    reporting.brokers.push((name.clone(), Arc::clone(&broker)));
    Ok(broker)
}

#[cfg(not(feature = "mqtt"))]
fn broker(name: &RegionId, _: &str, _: Option<&PathBuf>, _: &mut Reporting) -> Result<Arc<dyn Publisher>, String> {
    Err(format!("`--region {name}=mqtt:..` needs a build with the feature `mqtt`, and this one is without it"))
}

impl Reporting {
    /// Has the reports of devices recorded until the process ends.
    pub(crate) fn begin(self, app: &Arc<UpdateServer>) {
        #[cfg(feature = "mqtt")]
        for (region, broker) in self.brokers {
            tokio::spawn(receive(Arc::clone(app), region, broker));
        }
        #[cfg(feature = "iot-hub")]
        for (region, hub) in self.hubs {
            tokio::spawn(pull(Arc::clone(app), region, hub));
        }
        let _ = app;
    }
}

#[cfg(feature = "mqtt")]
async fn receive(app: Arc<UpdateServer>, region: RegionId, broker: Arc<fhir_devices::backend::Mqtt>) {
    /// How long the receiver waits after its connection ended.
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
    loop {
        let app = &app;
        let record = |tenant, device, report| async move { app.report(&tenant, &device, report).await.map(drop) };
        let counts = broker.receive_reports(record).await;
        let (recorded, refused, ended) = (counts.recorded, counts.refused, counts.ended);
        tracing::warn!(%region, recorded, refused, last_refusal = counts.last_refusal, ended, "no reports are received");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(feature = "iot-hub")]
async fn pull(app: Arc<UpdateServer>, region: RegionId, hub: Arc<fhir_devices::backend::IotHub>) {
    /// How often twins are queried. The smallest hub takes 20 queries a minute, of 100 devices each.
    const EVERY: std::time::Duration = std::time::Duration::from_secs(30);
    loop {
        let live = app.live_devices(&region).await.unwrap_or_else(|error| {
            tracing::warn!(%region, %error, "the devices of the region cannot be listed");
            Vec::new()
        });
        for (tenant, devices) in live {
            let (app, of) = (&app, &tenant);
            let record = |device, report| async move { app.report(of, &device, report).await.map(drop) };
            match hub.pull_reports(of, &devices, record).await {
                Ok(pulled) if pulled.refused > 0 => {
                    let (refused, last_refusal) = (pulled.refused, pulled.last_refusal);
                    tracing::warn!(%region, %tenant, refused, last_refusal, "reports of devices are refused");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%region, %tenant, %error, "the twins of the region cannot be read"),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// A file of `name = value` lines. What is in it is in no message.
#[cfg(any(feature = "iot-hub", feature = "mqtt"))]
struct Lines {
    of: String,
    folder: PathBuf,
    values: BTreeMap<String, String>,
}

#[cfg(any(feature = "iot-hub", feature = "mqtt"))]
impl Lines {
    fn read(region: &RegionId, path: &Path) -> Result<Self, String> {
        let of = format!("`{}` of the region `{region}`", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| format!("{of}: {error}"))?;
        let lines = text.lines().map(str::trim).enumerate();
        let mut values = BTreeMap::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let pair = line.split_once('=').ok_or_else(|| format!("{of}: line {} is no `name = value`", number + 1))?;
            values.insert(pair.0.trim().to_owned(), pair.1.trim().to_owned());
        }
        Ok(Self { of, folder: path.parent().map(Path::to_owned).unwrap_or_default(), values })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{}: a line `{name} = ..` is missing", self.of))
    }

    /// Returns the bytes of the file that a line names, from the folder of this one.
    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(path) = self.get(name) else { return Ok(None) };
        let read = std::fs::read(self.folder.join(path));
        read.map(Some).map_err(|error| format!("{}: `{name} = {path}`: {error}", self.of))
    }

    /// Refuses a line of another name.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.values.keys().find(|name| !known.contains(&name.as_str())) {
            Some(_) => Err(format!("{}: it has another line than {}", self.of, known.join(", "))),
            None => Ok(()),
        }
    }

    fn wrong(&self, why: &dyn std::fmt::Display) -> String {
        format!("{}: {why}", self.of)
    }
}
