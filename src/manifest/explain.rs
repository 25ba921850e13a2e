//! Explanation why an update is or is not admissible for a component.

use super::{
    Acceptance, CompatibilityRule, DowngradeAuthorization, IngestId, Requirement, RequirementScope, UpdateManifest,
    accept,
};
use crate::containment::{IdentifierQuery, Node, Selector, Tree, select, select_of};
use crate::datatype::{CodeableConcept, Coding};
use crate::issue::Path;
use crate::primitive::{Id, Instant, Text};
use crate::reference::Item;
use crate::support::names;
use std::cmp::Ordering;
use std::fmt;
use time::OffsetDateTime;

names! {
    /// Subject of an [`AdmissionReason`].
    ///
    /// ```
    /// use fhir_devices::manifest::AdmissionReasonCode;
    /// assert_eq!("sequence".parse(), Ok(AdmissionReasonCode::Sequence));
    /// ```
    AdmissionReasonCode {
        /// Whether the selector of the manifest finds this component and no other.
        Target = "target",
        /// Whether the place of the component in its device tree is certain.
        Place = "place",
        /// Whether the device and the component match a compatibility rule.
        Compatibility = "compatibility",
        /// Whether a requirement of the update is met.
        Requirement = "requirement",
        /// Whether the manifest has not expired.
        Expiry = "expiry",
        /// Whether the sequence number is above the last accepted one, or a downgrade is authorised.
        Sequence = "sequence",
        /// Whether the version is not earlier than the one that the component reports.
        Version = "version",
    }
}

/// One reason for or against an update.
///
/// ```
/// use fhir_devices::manifest::{AdmissionReason, AdmissionReasonCode};
/// let reason = AdmissionReason {
///     code: AdmissionReasonCode::Requirement,
///     is_against: true,
///     at: "UpdateManifest.requires[0]".into(),
///     component: "mds".into(),
///     found: "`3.0`".into(),
///     wanted: "the firmware of the parent at least `3.1` (dotted)".into(),
/// };
/// assert_eq!(
///     reason.to_string(),
///     "against, requirement at UpdateManifest.requires[0]: `mds` has `3.0`, wanted the firmware of the parent at least `3.1` (dotted)"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionReason {
    /// Subject of the check.
    pub code: AdmissionReasonCode,
    /// Whether the reason speaks against the update.
    pub is_against: bool,
    /// Path in the manifest.
    pub at: String,
    /// Path of the component that was checked; empty where the check is about no component.
    pub component: String,
    /// Value found.
    pub found: String,
    /// Value wanted.
    pub wanted: String,
}

impl fmt::Display for AdmissionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.is_against { "against" } else { "for" };
        write!(f, "{side}, {} at {}: ", self.code, self.at)?;
        match self.component.as_str() {
            "" => write!(f, "found {}", self.found)?,
            component => write!(f, "`{component}` has {}", self.found)?,
        }
        write!(f, ", wanted {}", self.wanted)
    }
}

/// Facts for the admission of an update, besides the component and the manifest.
///
/// ```
/// use fhir_devices::manifest::Situation;
/// let situation = Situation::at(time::macros::datetime!(2017-04-19 10:00 UTC));
/// assert_eq!(situation.accepted, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Situation<'s> {
    /// Current time.
    pub now: OffsetDateTime,
    /// Last accepted update for the component from the provider of this update.
    pub accepted: Option<&'s Acceptance>,
    /// Upload that brought the update. An update that was accepted for an upload stays accepted for it.
    pub ingest: Option<IngestId>,
    /// Device that the update is for, where the tree may also hold components of other devices.
    pub device: Option<&'s Id>,
}

impl Situation<'_> {
    /// Creates a situation at a time, with no update accepted before.
    #[must_use]
    pub const fn at(now: OffsetDateTime) -> Self {
        Self { now, accepted: None, ingest: None, device: None }
    }
}

/// Returns the reasons for and against an update of a component, in the order of the checks.
///
/// Each check gives at least one reason, so that the list shows everything that was checked. An update is
/// [admitted](admits) when no reason is against it.
///
/// ```
/// use fhir_devices::containment::components;
/// use fhir_devices::manifest::{AdmissionReasonCode, Situation, UpdateManifest, explain};
/// use fhir_devices::DeviceComponent;
///
/// let all = [DeviceComponent::from_json(br#"{"resourceType":"DeviceComponent","id":"pump","identifier":{"value":"1"},
///     "type":{"coding":[{"system":"urn:iso:std:iso:11073:10101","code":"69985"}]}}"#)?];
/// let manifest = UpdateManifest::from_json(br#"{"format":1,"sequence":42,"target":{"level":"mds"},"identity":
///     {"provider":"acme","name":"pump","version":"2.4.0","scheme":"semver"},"reportedAs":"software","urgency":"routine",
///     "compatibility":[{"code":69985}],"expiresAt":"2017-01-01T00:00:00Z","artifacts":[{"name":"pump.bin","size":8,
///     "mediaType":"application/octet-stream","sha256":"c3bf47ea1f4a4a605470313cacb3a44f4a461f68c6faeab07e737610cb5ac835"}]}"#)?;
///
/// let tree = components(&all);
/// let situation = Situation::at(time::macros::datetime!(2017-04-19 10:00 UTC));
/// let reasons = explain(&tree, tree.get("pump").unwrap(), &manifest, &situation);
/// let against: Vec<_> = reasons.iter().filter(|reason| reason.is_against).collect();
/// assert_eq!(against.len(), 1);
/// assert_eq!(
///     against[0].to_string(),
///     "against, expiry at UpdateManifest.expiresAt: found `2017-04-19T10:00:00Z`, wanted a time before `2017-01-01T00:00:00Z`"
/// );
/// # Ok::<(), fhir_devices::Report>(())
/// ```
#[must_use]
pub fn explain(
    tree: &Tree<'_>,
    component: Node<'_, '_>,
    manifest: &UpdateManifest,
    situation: &Situation<'_>,
) -> Vec<AdmissionReason> {
    let mut look = Checker { tree, component, situation, reasons: Vec::new() };
    let at = Path::root("UpdateManifest");
    look.version(manifest, &at.child("identity").child("version"));
    look.sequence(manifest, &at.child("sequence"));
    look.target(&manifest.target.selector(), &at.child("target"));
    look.place(&at.child("target"));
    look.compatibility(&manifest.compatibility, &at);
    for (index, requirement) in manifest.requires.iter().enumerate() {
        look.requirement(requirement, &at.item("requires", index));
    }
    look.expiry(manifest.expires_at, &at.child("expiresAt"));
    look.reasons
}

/// Returns whether [`explain`] finds no reason against an update.
#[must_use]
pub fn admits(tree: &Tree<'_>, component: Node<'_, '_>, manifest: &UpdateManifest, situation: &Situation<'_>) -> bool {
    explain(tree, component, manifest, situation).iter().all(|reason| !reason.is_against)
}

/// Check of one component, with the reasons so far.
struct Checker<'l, 't, 'a> {
    tree: &'l Tree<'a>,
    component: Node<'t, 'a>,
    situation: &'l Situation<'l>,
    reasons: Vec<AdmissionReason>,
}

/// Formats reported values for a message.
fn quoted<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let values: Vec<String> = values.map(|value| format!("`{value}`")).collect();
    if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
}

fn moment(moment: OffsetDateTime) -> String {
    Instant::try_from(moment).map_or_else(|_| format!("`{moment}`"), |text| format!("`{text}`"))
}

/// Returns whether the downgrade authorization is valid.
fn is_good(leave: &DowngradeAuthorization, sequence: u64, now: OffsetDateTime) -> bool {
    leave.permits(leave.from, sequence, now)
}

/// Returns the nodes that a scope covers, relative to a node.
fn in_scope<'t, 'a>(node: Node<'t, 'a>, scope: RequirementScope) -> Vec<Node<'t, 'a>> {
    match scope {
        RequirementScope::Itself => vec![node],
        RequirementScope::Parent => node.parent().into_iter().collect(),
        RequirementScope::Ancestor(level) => {
            node.ancestors().find(|above| above.level() == Some(level)).into_iter().collect()
        }
        RequirementScope::Sibling => {
            let all = node.above().into_iter().flat_map(Node::children);
            all.filter(|other| other.index() != node.index()).collect()
        }
        RequirementScope::Child => node.children().collect(),
        RequirementScope::DeviceRoot => vec![node.ancestors().last().unwrap_or(node)],
    }
}

impl Checker<'_, '_, '_> {
    fn says(
        &mut self,
        code: AdmissionReasonCode,
        holds: bool,
        at: &Path<'_>,
        component: &str,
        found: String,
        wanted: String,
    ) {
        let (at, component) = (at.to_string(), component.to_owned());
        self.reasons.push(AdmissionReason { code, is_against: !holds, at, component, found, wanted });
    }

    fn version(&mut self, manifest: &UpdateManifest, at: &Path<'_>) {
        let (identity, path) = (&manifest.identity, self.component.path());
        let Some(component) = self.component.component() else { return };
        let reported: Vec<&str> = manifest.reported_as.observed(component, manifest.target.item.as_ref()).collect();
        let leave = manifest.downgrade.as_ref();
        let may_fall = leave.is_some_and(|leave| is_good(leave, manifest.sequence, self.situation.now));
        let falls =
            |runs: &&str| identity.scheme.compare_texts(identity.version.as_str(), runs) == Some(Ordering::Less);
        let holds = may_fall || !reported.iter().any(falls);
        let wanted = if may_fall {
            format!("any, by leave to put `{}` in its place", identity.version)
        } else {
            format!("no {} later than `{}` ({})", manifest.reported_as, identity.version, identity.scheme)
        };
        self.says(AdmissionReasonCode::Version, holds, at, &path, quoted(reported.into_iter()), wanted);
    }

    fn sequence(&mut self, manifest: &UpdateManifest, at: &Path<'_>) {
        let Situation { now, accepted, ingest, .. } = *self.situation;
        // An update without an upload yet does not count as the last accepted one.
        let by = ingest.or(accepted.map(|accepted| IngestId(!accepted.by.0))).unwrap_or(IngestId(0));
        let provider = Text::new(manifest.identity.provider.as_str()).ok();
        let answer = accept(accepted, provider.as_ref(), manifest.sequence, by, manifest.downgrade.as_ref(), now);
        let wanted = match accepted {
            None => "any, as nothing was accepted before".to_owned(),
            Some(accepted) => format!("one above {} or an authorisation", accepted.highest),
        };
        self.says(
            AdmissionReasonCode::Sequence,
            answer.is_ok(),
            at,
            "",
            format!("the number {}", manifest.sequence),
            wanted,
        );
    }

    fn target(&mut self, selector: &Selector, at: &Path<'_>) {
        let found = match self.situation.device {
            Some(device) => select_of(self.tree, selector, device.as_str()),
            None => select(self.tree, selector),
        };
        let holds = found.as_ref().is_ok_and(|found| found.index() == self.component.index());
        let found = match found {
            Ok(found) => format!("`{}`", found.path()),
            Err(error) => error.to_string(),
        };
        let wanted = format!("`{}` as {selector}", self.component.path());
        self.says(AdmissionReasonCode::Target, holds, at, "", found, wanted);
    }

    fn place(&mut self, at: &Path<'_>) {
        let (path, doubt) = (self.component.path(), self.component.placement_issue());
        let found = match (self.component.is_void(), doubt) {
            (true, _) => "a record that was made by mistake".to_owned(),
            (false, Some(finding)) => format!("a place that is not certain ({})", finding.rule),
            (false, None) => "a place that is certain".to_owned(),
        };
        let holds = !self.component.is_void() && doubt.is_none();
        self.says(
            AdmissionReasonCode::Place,
            holds,
            at,
            &path,
            found,
            "a place in one device that is certain".to_owned(),
        );
    }

    fn compatibility(&mut self, rules: &[CompatibilityRule], at: &Path<'_>) {
        let path = self.component.path();
        if rules.is_empty() {
            let at = at.child("compatibility");
            let wanted = "at least one rule".to_owned();
            return self.says(
                AdmissionReasonCode::Compatibility,
                false,
                &at,
                &path,
                "no rule to follow".to_owned(),
                wanted,
            );
        }
        let checked: Vec<Vec<(bool, String, String)>> = rules.iter().map(|rule| self.rule(rule)).collect();
        let fits = |parts: &Vec<(bool, String, String)>| !parts.is_empty() && parts.iter().all(|(holds, _, _)| *holds);
        // One matching rule is enough; without one, each rule reports its missing parts.
        let shown: Vec<usize> = match checked.iter().position(fits) {
            Some(index) => vec![index],
            None => (0..checked.len()).collect(),
        };
        for (index, parts) in checked.iter().enumerate().filter(|(index, _)| shown.contains(index)) {
            let holds = fits(parts);
            let missed = parts.iter().filter(|(good, _, _)| holds || !*good);
            let (found, wanted): (Vec<&str>, Vec<&str>) =
                missed.map(|(_, found, wanted)| (found.as_str(), wanted.as_str())).unzip();
            let at = at.item("compatibility", index);
            self.says(AdmissionReasonCode::Compatibility, holds, &at, &path, found.join(" and "), wanted.join(" and "));
        }
    }

    /// Checks each part of a rule: whether it matches, the value found, and the value wanted.
    fn rule(&self, rule: &CompatibilityRule) -> Vec<(bool, String, String)> {
        let CompatibilityRule { manufacturer, model, class, code, part_number, hardware } = rule;
        let device = match self.component.device().map(Node::item) {
            Some(Item::Device(device)) => Some(device),
            _ => None,
        };
        let component = self.component.component();
        let mut parts = Vec::new();
        let mut compare = |what: &str, found: Vec<&str>, wanted: &str| {
            let holds = found.contains(&wanted);
            parts.push((holds, format!("the {what} {}", quoted(found.into_iter())), format!("the {what} `{wanted}`")));
        };
        if let Some(wanted) = manufacturer {
            let found = device.and_then(|device| device.manufacturer.as_ref()?.value.as_ref());
            compare("manufacturer", found.map(Text::as_str).into_iter().collect(), wanted.as_str());
        }
        if let Some(wanted) = model {
            let found = device.and_then(|device| device.model.as_ref()?.value.as_ref());
            compare("model", found.map(Text::as_str).into_iter().collect(), wanted.as_str());
        }
        if let Some(wanted) = part_number {
            let found = component.map(|component| super::target::part_numbers(component).collect());
            compare("part number", found.unwrap_or_default(), wanted.as_str());
        }
        if let Some(wanted) = class {
            let kinds = [component.map(|one| &one.r#type), device.and_then(|one| one.r#type.as_ref())];
            let codings = || kinds.into_iter().flatten().flat_map(|kind: &CodeableConcept| &kind.coding);
            let holds = codings().any(|coding| is_class(coding, wanted));
            let found = quoted(codings().filter_map(code_of));
            parts.push((holds, format!("the classes {found}"), format!("the class `{wanted}`")));
        }
        if let Some(code) = code {
            let holds = Selector::Code(*code).fits(self.tree, self.component);
            let codings = component.map(|one| one.r#type.coding.as_slice()).unwrap_or_default();
            parts.push((
                holds,
                format!("the codes {}", quoted(codings.iter().filter_map(code_of))),
                format!("the code `{code}`"),
            ));
        }
        if let Some(range) = hardware {
            let observed = || component.into_iter().flat_map(|one| super::ProductionSpec::Hardware.observed(one, None));
            let holds = observed().next().is_some() && observed().all(|found| range.has(found));
            parts.push((holds, format!("the hardware {}", quoted(observed())), format!("the hardware {range}")));
        }
        parts
    }

    fn requirement(&mut self, requirement: &Requirement, at: &Path<'_>) {
        let wanted = requirement.to_string();
        let tree = self.tree;
        let selector = requirement.of.as_ref().map(|target| target.selector());
        let fits = |node: &Node<'_, '_>| {
            !node.is_void() && selector.as_ref().is_none_or(|selector| selector.fits(tree, *node))
        };
        let meant: Vec<Node<'_, '_>> = in_scope(self.component, requirement.scope)
            .into_iter()
            .filter(|node| node.component().is_some())
            .filter(fits)
            .collect();
        if meant.is_empty() {
            return self.says(AdmissionReasonCode::Requirement, false, at, "", "no such component".to_owned(), wanted);
        }
        for node in meant {
            let component = node.component().into_iter();
            let reported: Vec<&str> =
                component.flat_map(|one| requirement.spec.observed(one, requirement.item.as_ref())).collect();
            let holds = !reported.is_empty() && reported.iter().all(|found| requirement.wanted.has(found));
            let found = quoted(reported.into_iter());
            self.says(AdmissionReasonCode::Requirement, holds, at, &node.path(), found, wanted.clone());
        }
    }

    fn expiry(&mut self, expires_at: Option<OffsetDateTime>, at: &Path<'_>) {
        let now = self.situation.now;
        let wanted = match expires_at {
            None => "any time, as it has no end".to_owned(),
            Some(end) => format!("a time before {}", moment(end)),
        };
        let holds = expires_at.is_none_or(|end| now < end);
        self.says(AdmissionReasonCode::Expiry, holds, at, "", moment(now), wanted);
    }
}

fn code_of(coding: &Coding) -> Option<&str> {
    Some(coding.code.as_ref()?.value.as_ref()?.as_str())
}

fn is_class(coding: &Coding, wanted: &IdentifierQuery) -> bool {
    let system = coding.system.as_ref().and_then(|system| system.value.as_ref()).map(|system| system.as_str());
    code_of(coding) == Some(wanted.value.as_str()) && (wanted.system.is_none() || wanted.system.as_deref() == system)
}
