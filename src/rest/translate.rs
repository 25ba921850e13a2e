//! Resources of other versions of FHIR: how they are shown, how they are taken, and which component an address of a Device
//! means there.

use super::address::Address;
use super::bundle_writer::BundleWriter;
use super::format::{Format, Syntax};
use super::problem::{Problem, Result};
use super::write::{has_id_of, of_type};
use super::{Body, Limits, Server};
use crate::convert;
use crate::element::ReadMode;
use crate::issue::{Issue, IssueType, Report, Severity};
use crate::resource::{OperationOutcome, Resource};
use crate::search::ResourceType;
use crate::store::{Key, ResourceStore, StoreError};
#[cfg(feature = "xml")]
use crate::validate::check_xml_with;
use crate::validate::{CheckResult, Valid, check_with};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Returns what the tree of a document takes at most while it is converted: what it is made of and what is made of it
/// are there at the same time.
fn tree_memory(limits: &Limits) -> usize {
    limits.read_memory() / 2
}

impl Format {
    /// Returns the limits of a request that is answered so. What is converted cannot be shared with the store, and may
    /// be larger.
    pub(super) fn limits(self, limits: Limits) -> Limits {
        if !self.is_converted() { limits } else { limits.with_page_bytes(limits.page_bytes() / 4) }
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Returns the refusal of a read in a version in which the resource cannot be written.
    pub(super) fn not_shown(&self, report: Report) -> Problem {
        Problem::document_within(report, &self.limits).with_status(406)
    }

    /// Returns a resource of STU3 in the version of FHIR that is asked for.
    pub(super) fn translated(&self, body: Body) -> Result<Body, Report> {
        self.translated_to(self.format.version, body)
    }

    /// Returns a resource of STU3 in a version of FHIR.
    pub(super) fn translated_to(&self, version: convert::Version, body: Body) -> Result<Body, Report> {
        if version == convert::Version::Stu3 {
            return Ok(body);
        }
        let memory = tree_memory(&self.limits);
        convert::valid_to(version, &body, &self.conversion, memory).map(|converted| converted.json.into())
    }

    /// Returns a component in the version of FHIR that `accept` prefers to STU3, and its media type. Nothing where it
    /// prefers none, and where the component cannot be written in it without loss: it is answered as it is then.
    #[cfg(feature = "server")]
    pub(crate) fn component_in(&self, accept: &str, component: &str) -> Option<(String, String)> {
        let format = Format::accepted(accept).filter(|format| !format.is_stu3())?;
        let memory = tree_memory(&self.limits);
        let converted = convert::valid_to(format.version, component.as_bytes(), &self.conversion, memory).ok()?;
        Some((converted.json, format.media_type()))
    }

    /// The outcome that stands in a page in the place of a resource that cannot be shown in the version that is asked for.
    pub(super) fn outcome_of(&self, report: &Report, key: &Key) -> String {
        let mut outcome = OperationOutcome::from(report).under(self.canonical());
        let words = format!("{key} is not shown, as it cannot be converted without loss");
        outcome.issue.splice(0..0, OperationOutcome::of(Severity::Warning, IssueType::NotSupported, &words).issue);
        // What a page has with it is no error of the search.
        for issue in &mut outcome.issue {
            if issue.severity.value.is_some_and(|severity| severity < Severity::Warning) {
                issue.severity = Severity::Warning.into();
            }
        }
        outcome.to_json()
    }

    /// Says that two resources of a page would be the same Device in the version that is asked for.
    pub(super) fn collision(&self, key: &Key, devices: &mut BTreeMap<String, ResourceType>) -> Option<Report> {
        let id = match key.resource_type() {
            ResourceType::Device => key.id().as_str().to_owned(),
            ResourceType::DeviceComponent => convert::device_of(key.id().as_str(), &self.conversion),
            ResourceType::DeviceMetric => return None,
        };
        let message = format!("two resources would have the same address: both are `Device/{id}`");
        let before = *devices.entry(id).or_insert(key.resource_type());
        let issue =
            Issue::new("collision", Severity::Error, IssueType::Duplicate, key.resource_type().as_str(), message);
        (before != key.resource_type()).then(|| Report::from_iter([issue]))
    }

    /// A Bundle that is written for the version that is asked for.
    pub(super) fn bundle_writer(&self, kind: &str, total: Option<usize>, links: &[(&str, String)]) -> BundleWriter {
        BundleWriter::new(kind, total, links, self.format.version, Arc::clone(&self.conversion))
    }

    /// Returns the key that the address of a Device means in a version of FHIR: components are Devices from R4 on.
    pub(super) async fn meant(&self, key: &Key, version: convert::Version) -> Result<Key> {
        let stu3 = version == convert::Version::Stu3;
        if stu3 || key.resource_type() != ResourceType::Device {
            return Ok(key.clone());
        }
        let (id, certain) = convert::component_of(key.id().as_str(), &self.conversion);
        let component = Key::new(ResourceType::DeviceComponent, id)?;
        if certain {
            return Ok(component);
        }
        Ok(match (self.state(key).await?, self.state(&component).await?) {
            (State::Never, State::There | State::Deleted) | (State::Deleted, State::There) => component,
            _ => key.clone(),
        })
    }

    /// The same of any address.
    pub(super) async fn address_meant(&self, address: &Address, version: convert::Version) -> Result<Address> {
        Ok(match address {
            Address::Resource(key) => Address::Resource(self.meant(key, version).await?),
            Address::History(key) => Address::History(self.meant(key, version).await?),
            Address::Version(key, number) => Address::Version(self.meant(key, version).await?, *number),
            other => other.clone(),
        })
    }

    /// Reads a document of a version of FHIR strictly, and validates it: once for all that is done with it.
    pub(super) fn check_in(&self, version: convert::Version, body: &[u8]) -> CheckResult {
        self.check_as(version, self.format.sent, body)
    }

    /// The same of a body in a syntax.
    #[cfg_attr(not(feature = "xml"), expect(unused_variables, reason = "JSON is the only one without the feature"))]
    pub(super) fn check_as(&self, version: convert::Version, syntax: Syntax, body: &[u8]) -> CheckResult {
        let limits = &self.limits;
        let checked = match version {
            #[cfg(feature = "xml")]
            convert::Version::Stu3 if syntax == Syntax::Xml => {
                check_xml_with(body, self.mode, &self.validator, limits.read_memory())
            }
            convert::Version::Stu3 => check_with(body, self.mode, &self.validator, limits.read_memory()),
            version => convert::check_with(version, body, &self.conversion, &self.validator, tree_memory(limits)),
        };
        // It would be stored as it is, and resolved by nobody.
        checked.with_report(|mut report| {
            report.raise("conditional-reference");
            report
        })
    }

    /// Returns the resource that a client sent in a version of FHIR, with every finding where it is not taken.
    pub(super) fn document(&self, version: convert::Version, body: &[u8]) -> Result<Valid<Resource>> {
        let checked = self.check_in(version, body);
        if self.mode == ReadMode::Lenient {
            self.findings.lock().unwrap_or_else(PoisonError::into_inner).append(checked.report().clone());
        }
        checked.into_valid().map_err(|report| self.unconvertible(report))
    }

    /// Returns the type of which a resource is created that a client sent in a version, and the resource as one of it.
    pub(super) fn of_type_in(
        &self,
        version: convert::Version,
        kind: ResourceType,
        resource: Valid<Resource>,
    ) -> Result<(ResourceType, Valid<Resource>)> {
        let (kind, resource) = match (kind, &*resource) {
            _ if version == convert::Version::Stu3 => (kind, resource),
            (ResourceType::Device, Resource::DeviceComponent(_)) => (ResourceType::DeviceComponent, resource),
            (ResourceType::DeviceComponent, Resource::Device(_)) => (kind, self.as_component(&resource)?),
            _ => (kind, resource),
        };
        of_type(kind, &resource)?;
        Ok((kind, resource))
    }

    /// Returns the key to which a resource is written that a client sent in a version, and the resource as what it is
    /// there.
    ///
    /// What is sent without the mark of a component to the address of one is that component: a client may have dropped it.
    pub(super) async fn at_key_in(
        &self,
        version: convert::Version,
        key: &Key,
        resource: Valid<Resource>,
    ) -> Result<(Key, Valid<Resource>)> {
        let mut key = key.clone();
        if version != convert::Version::Stu3 && key.resource_type() == ResourceType::Device {
            key = match &*resource {
                Resource::DeviceComponent(_) => self.component_at(version, key).await?,
                _ => self.meant(&key, version).await?,
            };
        }
        let (_, resource) = self.of_type_in(version, key.resource_type(), resource)?;
        has_id_of(&resource, &key)?;
        Ok((key, resource))
    }

    /// Returns the key of a component that is sent to the address of a Device.
    async fn component_at(&self, version: convert::Version, key: Key) -> Result<Key> {
        let (id, certain) = convert::component_of(key.id().as_str(), &self.conversion);
        let own = Key::new(ResourceType::DeviceComponent, id)?;
        if !certain && self.state(&own).await? != State::There && self.state(&key).await? == State::There {
            let words = format!("{key} is there, and {own} would be the same Device in FHIR {}", version.mime());
            return Err(Problem::new(409, IssueType::Duplicate, "collision", words));
        }
        Ok(own)
    }

    /// Returns a device as the component that it becomes, which is checked for itself.
    fn as_component(&self, device: &Resource) -> Result<Valid<Resource>> {
        let component = convert::as_component(device, &self.conversion);
        let valid = component.and_then(|component| Valid::by(component, &self.validator));
        valid.map_err(|report| self.unconvertible(report))
    }

    /// Why a document is not taken: what is wrong with it, or else what would be lost.
    pub(super) fn unconvertible(&self, report: Report) -> Problem {
        let mut errors = report.iter().filter(|issue| issue.severity <= Severity::Error);
        let only_lost = errors.all(convert::is_loss);
        let problem = Problem::document_within(report, &self.limits);
        if only_lost { problem.with_status(422) } else { problem }
    }

    async fn state(&self, key: &Key) -> Result<State> {
        self.spent.may_look(&self.limits)?;
        self.spent.look(super::limits::CALL, 0);
        match self.store.read(key).await {
            Ok(_) => Ok(State::There),
            Err(StoreError::NotFound { .. }) => Ok(State::Never),
            Err(StoreError::Gone { .. }) => Ok(State::Deleted),
            Err(error) => Err(Problem::of_store(&error, key)),
        }
    }
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Never,
    There,
    Deleted,
}
