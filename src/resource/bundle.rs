//! Several resources in one document.

use super::Resource;
use crate::code::{BundleType, HttpVerb, SearchEntryMode};
use crate::datatype::{Identifier, Meta, Primitive, Signature, shown};
use crate::element::{Facts, Value};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use crate::primitive::{Code, Decimal, Id, Instant, Text, UnsignedInt, Uri};
use std::collections::{BTreeMap, HashSet};

element! {
    /// Several resources in one document: search results, history, transaction or collection.
    ///
    /// ```
    /// use fhir_devices::{Bundle, Device, code::BundleType, resource::bundle::Entry};
    ///
    /// let mut bundle = Bundle::new(BundleType::Collection);
    /// bundle.entry.push(Entry { resource: Some(Device::default().into()), ..Entry::default() });
    /// assert_eq!(
    ///     bundle.to_json(),
    ///     r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Device"}}]}"#,
    /// );
    /// ```
    pub struct Bundle is "Bundle" at "Bundle" resource "Bundle" {
        /// The logical id.
        id "id" [0..1] Primitive<Id>;
        /// The version, and what a server and its users say about the bundle.
        meta "meta" [0..1] Meta;
        /// Rules under which the bundle was made, and which must be understood to use it.
        implicit_rules "implicitRules" [0..1] Primitive<Uri>;
        /// The language of the content.
        language "language" [0..1] Primitive<Code>;
        /// A name for the bundle that never changes.
        identifier "identifier" [0..1] Identifier;
        /// What the bundle is for.
        r#type "type" [1..1] Primitive<BundleType>;
        /// How many resources matched a search, on all pages.
        total "total" [0..1] Primitive<UnsignedInt>;
        /// Links: to this page, the next one.
        link "link" [0..*] Link;
        /// The resources, or what to do with them.
        entry "entry" [0..*] Entry;
        /// A signature over the bundle.
        signature "signature" [0..1] Signature;
    }
    rules {
        // The function below names the entries that break it.
        "bdl-7", "entries with the same `fullUrl` have different versions", |_| true;
        "bdl-9", "a document has an identifier with a system and a value", |bundle| {
            let identified = |id: &Identifier| id.system.is_some() && id.value.is_some();
            bundle.r#type.value != Some(BundleType::Document) || bundle.identifier.as_ref().is_some_and(identified)
        }, said |bundle| match &bundle.identifier {
            None => "the document has no `identifier`".to_owned(),
            Some(id) if id.system.is_some() => "the identifier of the document has no `value`".to_owned(),
            Some(id) => format!("the identifier {} of the document has no `system`", shown(id.value.as_ref())),
        };
        "bdl-3", "`entry.request` is for batches, transactions and histories alone", |bundle| {
            is(bundle, &[BundleType::Batch, BundleType::Transaction, BundleType::History])
                || bundle.entry.iter().all(|entry| entry.request.is_none())
        }, said |bundle| misplaced(bundle, "request", |entry| entry.request.is_some());
        // A history has it too: from R4 on the rule says so, and without it no entry tells when something was deleted.
        "bdl-4", "`entry.response` is for histories and the responses to batches and transactions alone", |bundle| {
            is(bundle, &[BundleType::BatchResponse, BundleType::TransactionResponse, BundleType::History])
                || bundle.entry.iter().all(|entry| entry.response.is_none())
        }, said |bundle| misplaced(bundle, "response", |entry| entry.response.is_some());
        "bdl-1", "`total` is for search sets and histories alone", |bundle| {
            bundle.total.is_none() || is(bundle, &[BundleType::Searchset, BundleType::History])
        }, said |bundle| {
            let (total, of) = (shown(bundle.total.as_ref()), shown(Some(&bundle.r#type)));
            format!("found the `total` {total} in a Bundle of type {of}: it is for search sets and histories alone")
        };
        "bdl-2", "`entry.search` is for search sets alone", |bundle| {
            is(bundle, &[BundleType::Searchset]) || bundle.entry.iter().all(|entry| entry.search.is_none())
        }, said |bundle| misplaced(bundle, "search", |entry| entry.search.is_some());
    }
    facts |bundle| Facts::Resource {
        resource_type: "Bundle",
        narrated: false,
        containing: false,
        versioned: super::is_versioned(bundle.meta.as_ref()),
        language: bundle.language.as_ref().and_then(|language| language.value.as_ref()).map(Code::as_str),
    };
    also check_entries;
}

document!(Bundle, "Bundle");

impl Bundle {
    /// Creates a bundle without entries.
    #[must_use]
    pub fn new(r#type: BundleType) -> Self {
        Self { r#type: r#type.into(), ..Self::blank() }
    }

    /// Returns the resources of the entries, in order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.entry.iter().filter_map(|entry| entry.resource.as_ref())
    }
}

fn is(bundle: &Bundle, types: &[BundleType]) -> bool {
    bundle.r#type.value.as_ref().is_none_or(|own| types.contains(own))
}

/// Names the first entry with a member that the type of the bundle does not allow.
fn misplaced(bundle: &Bundle, member: &str, has: fn(&Entry) -> bool) -> String {
    let index = bundle.entry.iter().position(has).unwrap_or_default();
    let types = match member {
        "search" => "search sets",
        "request" => "batches, transactions and histories",
        _ => "histories and the responses to batches and transactions",
    };
    let of = shown(Some(&bundle.r#type));
    format!("entry[{index}] has `{member}` in a Bundle of type {of}: it is for {types} alone")
}

/// Returns the address of an entry, where it has one.
fn full_url(entry: &Entry) -> Option<&str> {
    entry.full_url.as_ref().and_then(|url| url.value.as_ref()).map(Uri::as_str)
}

/// Checks the entries of a bundle against each other and against what the bundle is for.
fn check_entries(bundle: &Bundle, at: &Path<'_>, report: &mut Report) {
    distinct_versions(bundle, at, report);
    check_first(bundle, at, report);
    let unaddressed =
        [BundleType::Batch, BundleType::Transaction, BundleType::BatchResponse, BundleType::TransactionResponse];
    let addressed = !is(bundle, &unaddressed);
    let searchset = bundle.r#type.value == Some(BundleType::Searchset);
    for (index, entry) in bundle.entry.iter().enumerate() {
        let Some(resource) = &entry.resource else { continue };
        let mode = entry.search.as_ref().and_then(|search| search.mode.as_ref()).and_then(|mode| mode.value);
        // What a server says about the search is no resource that it keeps.
        if mode == Some(SearchEntryMode::Outcome) {
            continue;
        }
        let here = at.item("entry", index);
        if addressed && entry.full_url.is_none() && !report.counts(Severity::Error) {
            let message = "the entry has no `fullUrl`, wanted the address of its resource, which only the entries of batches, \
                transactions and their responses may go without";
            let issue = Issue::new("full-url", Severity::Error, IssueType::Required, here, message);
            report.push(issue.with_row("Bundle.entry.fullUrl"));
        }
        if searchset && resource.id().is_none() && !report.counts(Severity::Warning) {
            let message = format!("the {} that a search found has no id", resource.resource_type());
            let issue = Issue::new("search-id", Severity::Warning, IssueType::Required, here, message);
            report.push(issue.with_row("Bundle.entry.resource"));
        }
    }
}

/// A document begins with its Composition, a message with its MessageHeader.
fn check_first(bundle: &Bundle, at: &Path<'_>, report: &mut Report) {
    let (kind, wanted) = match bundle.r#type.value {
        Some(BundleType::Document) => ("document", "Composition"),
        Some(BundleType::Message) => ("message", "MessageHeader"),
        _ => return,
    };
    let found = bundle.entry.first().and_then(|entry| entry.resource.as_ref()).map(Resource::resource_type);
    if let Some(found) = found.filter(|found| *found != wanted) {
        let message = format!("the first resource of the {kind} is a {found}, wanted a {wanted}");
        let issue = Issue::new("first-entry", Severity::Error, IssueType::Invariant, at.item("entry", 0), message);
        report.push(issue.with_row("Bundle.entry"));
    }
}

/// bdl-7: no two entries have the same address and the same version.
fn distinct_versions(bundle: &Bundle, at: &Path<'_>, report: &mut Report) {
    let mut addresses = HashSet::with_capacity(bundle.entry.len());
    if bundle.entry.iter().filter_map(full_url).all(|url| addresses.insert(url)) {
        return;
    }
    let mut known = BTreeMap::new();
    for (index, entry) in bundle.entry.iter().enumerate() {
        let Some(url) = full_url(entry) else { continue };
        let version = entry.resource.as_ref().and_then(version);
        let Some(first) = known.insert((url, version), index) else { continue };
        known.insert((url, version), first);
        let of =
            version.map_or_else(|| "without a version".to_owned(), |version| format!("of the version `{version}`"));
        let message =
            format!("entry[{first}] and entry[{index}] both have the fullUrl `{url}`, {of}; wanted different versions");
        let issue = Issue::new("bdl-7", Severity::Error, IssueType::Invariant, at, message);
        report.push(issue.with_row("Bundle"));
    }
}

fn version(resource: &Resource) -> Option<&str> {
    let meta = match resource {
        Resource::Device(resource) => &resource.meta,
        Resource::DeviceComponent(resource) => &resource.meta,
        Resource::DeviceMetric(resource) => &resource.meta,
        Resource::Bundle(resource) => &resource.meta,
        Resource::OperationOutcome(resource) => &resource.meta,
        Resource::Other(other) => return super::member(other.member("meta")?, "versionId"),
    };
    meta.as_ref()?.version_id.as_ref()?.value.as_ref().map(Id::as_str)
}

backbone! {
    /// A link of a [`Bundle`] or of one of its entries.
    pub struct Link at "Bundle.link" {
        /// What the link is: `self`, `next`.
        relation "relation" [1..1] Primitive<Text>;
        /// Where it leads.
        url "url" [1..1] Primitive<Uri>;
    }
}

impl Link {
    /// Creates a link.
    #[must_use]
    pub fn new(relation: Text, url: Uri) -> Self {
        Self { relation: relation.into(), url: url.into(), ..Self::blank() }
    }
}

backbone! {
    /// One entry of a [`Bundle`].
    #[derive(Default)]
    pub struct Entry at "Bundle.entry" {
        /// Links of this entry.
        link "link" [0..*] Link;
        /// The absolute address of the resource.
        full_url "fullUrl" [0..1] Primitive<Uri>;
        /// The resource.
        resource "resource" [0..1] Resource;
        /// Why a search found it.
        search "search" [0..1] Box<Search>;
        /// What to do with it.
        request "request" [0..1] Box<Request>;
        /// What was done with it.
        response "response" [0..1] Box<Response>;
    }
    rules {
        "bdl-8", "`fullUrl` does not name a version", |entry| {
            let url = entry.full_url.as_ref().and_then(|url| url.value.as_ref());
            url.is_none_or(|url| !url.as_str().contains("/_history/"))
        }, said |entry| {
            format!("the `fullUrl` {} names a version, wanted it without `/_history/`", shown(entry.full_url.as_ref()))
        };
        "bdl-5", "an entry has a resource, a request or a response",
            |entry| entry.resource.is_some() || entry.request.is_some() || entry.response.is_some(),
            said |entry| {
                let whose = entry.full_url.as_ref().map(|url| format!(" of {}", shown(Some(url)))).unwrap_or_default();
                format!("the entry{whose} has neither a resource nor a request nor a response, wanted one of them")
            };
    }
    facts |entry| Facts::Entry {
        full_url: entry.full_url.as_ref().and_then(|url| url.value.as_ref()).map(Uri::as_str),
        id: entry.resource.as_ref().and_then(Resource::id),
        resource: entry.resource.is_some(),
    };
}

backbone! {
    /// Why an entry is in a search result.
    #[derive(Default)]
    pub struct Search at "Bundle.entry.search" {
        /// Whether it matched, or was included.
        mode "mode" [0..1] Primitive<SearchEntryMode>;
        /// How well it matched, from 0 to 1.
        score "score" [0..1] Primitive<Decimal>;
    }
}

backbone! {
    /// The request of an entry of a batch or transaction.
    pub struct Request at "Bundle.entry.request" {
        /// The method.
        method "method" [1..1] Primitive<HttpVerb>;
        /// The address, relative to the base of the server.
        url "url" [1..1] Primitive<Uri>;
        /// `If-None-Match`
        if_none_match "ifNoneMatch" [0..1] Primitive<Text>;
        /// `If-Modified-Since`
        if_modified_since "ifModifiedSince" [0..1] Primitive<Instant>;
        /// `If-Match`
        if_match "ifMatch" [0..1] Primitive<Text>;
        /// `If-None-Exist`
        if_none_exist "ifNoneExist" [0..1] Primitive<Text>;
    }
}

impl Request {
    /// Creates a request.
    #[must_use]
    pub fn new(method: HttpVerb, url: Uri) -> Self {
        Self { method: method.into(), url: url.into(), ..Self::blank() }
    }
}

backbone! {
    /// The response for an entry of a batch or transaction.
    pub struct Response at "Bundle.entry.response" {
        /// The status code, with or without words.
        status "status" [1..1] Primitive<Text>;
        /// Where the resource is now.
        location "location" [0..1] Primitive<Uri>;
        /// The version as an entity tag.
        etag "etag" [0..1] Primitive<Text>;
        /// When the resource was changed.
        last_modified "lastModified" [0..1] Primitive<Instant>;
        /// Hints and warnings.
        outcome "outcome" [0..1] Resource;
    }
}

impl Response {
    /// Creates a response.
    #[must_use]
    pub fn new(status: Text) -> Self {
        Self { status: status.into(), ..Self::blank() }
    }
}
