//! The documents that the benches read, check and write: our own, compact, as they go over the wire.

use fhir_devices::code::BundleType;
use fhir_devices::primitive::{Id, Uri};
use fhir_devices::resource::bundle::Entry;
use fhir_devices::{Bundle, Device, DeviceComponent, DeviceMetric, Report, Resource};
use std::fmt;

const DEVICE: &[u8] = include_bytes!("../data/device.json");
const COMPONENT: &[u8] = include_bytes!("../data/device_component.json");
const METRIC: &[u8] = include_bytes!("../data/device_metric.json");
const LARGE: &[u8] = include_bytes!("../data/large.json");

/// One document, and how to read it as its type.
pub(crate) struct Document {
    pub(crate) name: &'static str,
    pub(crate) json: String,
    /// The same with white space between its tokens, as people see it.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) indented: Option<&'static [u8]>,
    pub(crate) resource: Resource,
    /// Reads the document as its type, and drops what it read; says whether it could.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) read: fn(&[u8]) -> bool,
}

impl Document {
    fn new(name: &'static str, resource: Resource, read: fn(&[u8]) -> bool) -> Self {
        Self { name, json: resource.to_json(), indented: None, resource, read }
    }

    fn of_file(name: &'static str, file: &'static [u8], read: fn(&[u8]) -> bool) -> Result<Self, Report> {
        Ok(Self { indented: Some(file), ..Self::new(name, Resource::from_json(file)?, read) })
    }

    /// Whether it is one of the small ones.
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) fn is_small(&self) -> bool {
        self.json.len() < 2000
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Each kind of document: three small ones, a large one, and a thousand small ones in a Bundle.
pub(crate) fn all() -> Result<Vec<Document>, Report> {
    Ok(vec![
        Document::of_file("device", DEVICE, |json| Device::from_json(json).is_ok())?,
        Document::of_file("component", COMPONENT, |json| DeviceComponent::from_json(json).is_ok())?,
        Document::of_file("metric", METRIC, |json| DeviceMetric::from_json(json).is_ok())?,
        Document::of_file("large", LARGE, |json| DeviceComponent::from_json(json).is_ok())?,
        Document::new("bundle", bundle()?.into(), |json| Bundle::from_json(json).is_ok()),
    ])
}

/// A Bundle of so many resources of a type that is not modelled, as a device reports them.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn observations(count: usize) -> String {
    let entry = |number: usize| {
        format!(
            r#"{{"fullUrl":"https://ehr.example/fhir/Observation/o{number}","resource":{{"resourceType":"Observation","id":"o{number}","meta":{{"versionId":"3","lastUpdated":"2018-02-19T08:41:07Z"}},"text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Heart rate: 72 beats a minute</p></div>"}},"identifier":[{{"system":"https://acme.example/observation","value":"{number}"}}],"status":"final","category":[{{"coding":[{{"system":"http://hl7.org/fhir/observation-category","code":"vital-signs","display":"Vital Signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}}],"text":"Heart rate"}},"subject":{{"reference":"Patient/p-1180"}},"effectiveDateTime":"2018-02-19T08:40:59+01:00","device":{{"reference":"Device/monitor-1"}},"valueQuantity":{{"value":72,"unit":"beats/minute","system":"http://unitsofmeasure.org","code":"/min"}}}}}}"#
        )
    };
    let entries: Vec<String> = (0..count).map(entry).collect();
    format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#, entries.join(","))
}

/// A thousand entries, each with an id of its own.
fn bundle() -> Result<Bundle, Report> {
    let device = Device::from_json(DEVICE)?;
    let component = DeviceComponent::from_json(COMPONENT)?;
    let metric = DeviceMetric::from_json(METRIC)?;
    let mut bundle = Bundle::new(BundleType::Collection);
    for number in 0..1000 {
        let id = Id::new(format!("r{number}")).ok().map(Into::into);
        let resource: Resource = match number % 3 {
            0 => Device { id, ..device.clone() }.into(),
            1 => DeviceComponent { id, ..component.clone() }.into(),
            _ => DeviceMetric { id, ..metric.clone() }.into(),
        };
        let url = format!("https://ehr.example/fhir/{}/r{number}", resource.resource_type());
        let full_url = Uri::new(url).ok().map(Into::into);
        bundle.entry.push(Entry { full_url, resource: Some(resource), ..Entry::default() });
    }
    Ok(bundle)
}
