//! Batches and transactions: requests of entries, and responses.

use super::address::{Address, Operation};
use super::bundle_writer::{BundleWriter, quoted};
use super::format::body_version;
use super::header::wants_representation;
use super::link::rewrite;
use super::problem::{Problem, Result};
use super::transaction::is_temporary;
use super::{FHIR_JSON, Limits, Request, Response, Server};
use crate::code::{BundleType, HttpVerb};
use crate::convert;
use crate::issue::{IssueType, Report};
use crate::primitive::{Instant, Text};
use crate::reference::OwnBase;
use crate::resource::bundle::Entry;
use crate::resource::{Bundle, Resource};
use crate::store::to_millisecond;
use crate::store::{ResourceStore, Version};
use crate::support::{http_date, yield_now};
use crate::validate::Valid;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// A Bundle whose resources are not read.
#[derive(Default, Deserialize)]
struct SentBundle<'b> {
    #[serde(borrow, default)]
    entry: Vec<SentEntry<'b>>,
}

#[derive(Deserialize)]
struct SentEntry<'b> {
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
}

/// One entry, as the request that it is.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `Bundle.entry[3]`
    pub(super) place: String,
    pub(super) method: HttpVerb,
    pub(super) address: Address,
    pub(super) full_url: Option<String>,
    pub(super) resource: Option<Valid<Resource>>,
    /// The request, without a body.
    pub(super) request: Request<'static>,
}

impl Asked {
    /// Reads an entry of a Bundle in which no error was found but in other entries.
    fn read(entry: Entry, place: String, base: &OwnBase, prefer: &'static str) -> Result<Self> {
        let Some(request) = entry.request else {
            return Err(Problem::new(400, IssueType::Required, "entry-request", "the entry has no request"));
        };
        let Some(method) = request.method.value else {
            return Err(Problem::new(400, IssueType::Required, "entry-request", "the request has no method"));
        };
        let url = request.url.value.map(|url| url.as_str().to_owned()).unwrap_or_default();
        let relative = base.below(&url).unwrap_or(&url).trim_start_matches('/');
        let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
        let address = Address::read(path)?;
        let mut asked = Request::new(method.as_str(), path.to_owned()).query(query.to_owned());
        if method != HttpVerb::Get {
            asked = asked.header("content-type", FHIR_JSON).header("prefer", prefer);
        }
        let text = |text: Option<Text>| text.map(|text| text.as_str().to_owned());
        for (name, value) in [
            ("if-match", text(request.if_match.and_then(|text| text.value))),
            ("if-none-match", text(request.if_none_match.and_then(|text| text.value))),
            ("if-none-exist", text(request.if_none_exist.and_then(|text| text.value))),
            ("if-modified-since", {
                let moment = request.if_modified_since.and_then(|moment| moment.value);
                moment.and_then(|moment| moment.to_offset_date_time()).map(http_date)
            }),
        ] {
            if let Some(value) = value {
                asked = asked.header(name, value);
            }
        }
        let is_operation = matches!(address, Address::Operation(..) | Address::MetaInUse(_));
        if matches!(method, HttpVerb::Post | HttpVerb::Put) && entry.resource.is_none() && !is_operation {
            let words = format!("a {} needs a resource", method.as_str());
            return Err(Problem::new(400, IssueType::Required, "entry-resource", words));
        }
        let full_url = entry.full_url.and_then(|url| url.value).map(|url| url.as_str().to_owned());
        // It was validated with its Bundle.
        let resource = entry.resource.map(Valid::known);
        if let Some(resource) = resource.as_ref().filter(|_| is_operation) {
            asked = asked.body(resource.to_json());
        }
        Ok(Self { place, method, address, full_url, resource, request: asked })
    }

    /// Whether it asks what is wrong with a resource that it brings.
    fn validates(&self) -> bool {
        self.method == HttpVerb::Post && matches!(self.address, Address::Operation(Operation::Validate, ..))
    }

    /// With a body in a version of FHIR, in the place of the resource.
    fn with_body(mut self, json: String, version: convert::Version) -> Self {
        self.request.headers.retain(|(name, _)| name != "content-type");
        let kind = format!("{FHIR_JSON}; fhirVersion={}", version.mime());
        self.request = self.request.header("content-type", kind).body(json);
        self.resource = None;
        self
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// The resources of the entries of a Bundle, as JSON, in the words of the client.
    fn sent_resources(&self, body: &[u8]) -> Vec<Option<String>> {
        let transcribed = self.body_in_json(body).unwrap_or_default();
        let sent: SentBundle<'_> = serde_json::from_slice(&transcribed).unwrap_or_default();
        sent.entry.into_iter().map(|entry| entry.resource.map(|json| json.get().to_owned())).collect()
    }

    /// `POST` of a Bundle.
    pub(super) async fn bundle(&self, request: &Request<'_>) -> Result<Response> {
        let version = body_version(request)?;
        let (bundle, mut faults) = self.read_bundle(version, &request.body)?;
        if bundle.entry.len() > self.limits.entries() {
            let (found, most) = (bundle.entry.len(), self.limits.entries());
            let words = format!("the bundle has {found} entries, and at most {most} are taken: send several");
            return Err(Problem::new(413, IssueType::TooCostly, "too-many-entries", words));
        }
        // What was written is shown where the client says so; by itself the answer tells where it is.
        let shown = wants_representation(request);
        let prefer = if shown { "return=representation" } else { "return=minimal" };
        let kind = bundle.r#type.value;
        let mut asked = Vec::with_capacity(bundle.entry.len());
        let mut sent: Option<Vec<Option<String>>> = None;
        for (at, entry) in bundle.entry.into_iter().enumerate() {
            let place = format!("Bundle.entry[{at}]");
            let faulty = faults.remove(&at);
            let read = match Asked::read(entry, place.clone(), &self.base, prefer) {
                Ok(asked) if faulty.is_none() || asked.validates() => self.asked_in(version, asked).await,
                read => read,
            }
            .map_err(|problem| problem.at(&place));
            asked.push(match faulty {
                None => read,
                // What is wrong with a resource is the answer to `$validate`, and no reason to refuse it.
                Some(report) => match read {
                    Ok(asked) if asked.validates() => {
                        let sent = sent.get_or_insert_with(|| self.sent_resources(&request.body));
                        match sent.get_mut(at).and_then(Option::take) {
                            Some(json) => Ok(asked.with_body(json, version)),
                            None => Err(self.unconvertible(report)),
                        }
                    }
                    _ => Err(self.unconvertible(report)),
                },
            });
        }
        match kind {
            Some(BundleType::Batch) => Ok(self.batch(independent(asked)).await),
            Some(BundleType::Transaction) => self.transaction(asked).await,
            kind => {
                let found = kind.map(|kind| kind.as_str()).unwrap_or_default();
                let words = format!("the bundle is a {found}, and a batch or a transaction is wanted");
                Err(Problem::bad("bundle-type", words))
            }
        }
    }

    /// The same for the entries of a Bundle, whose bodies are JSON, in whatever syntax the Bundle came.
    fn for_entries(&self) -> Self {
        Self { format: self.format.with_json_sent(), ..self.clone() }
    }

    /// Each entry on its own.
    async fn batch(&self, asked: Vec<Result<Asked>>) -> Response {
        let mut bundle = self.bundle_writer("batch-response", None, &[]);
        let entries = self.for_entries();
        for entry in asked {
            let full = self.spent.is_full(&self.limits);
            let answer = match entry {
                Ok(asked) if full && asked.method == HttpVerb::Get => Err(full_answer(&self.limits).at(&asked.place)),
                Ok(mut asked) => {
                    let sent = asked.resource.take();
                    if full {
                        asked.request.headers.retain(|(name, _)| name != "prefer");
                        asked.request = asked.request.header("prefer", "return=minimal");
                    }
                    entries.interact(&asked.request, &asked.address, sent).await
                }
                Err(problem) => Err(problem),
            };
            let answer = answer.unwrap_or_else(|problem| self.told(problem));
            self.spent.answer(answer.body.len());
            add(&mut bundle, &answer);
            yield_now().await;
        }
        Response::json(200, bundle.finish())
    }

    /// Returns an entry of a Bundle in a version of FHIR, as what it asks for here.
    async fn asked_in(&self, version: convert::Version, mut asked: Asked) -> Result<Asked> {
        if version == convert::Version::Stu3 {
            return Ok(asked);
        }
        asked.address = match (&asked.address, asked.resource.take()) {
            (Address::Resource(key), Some(resource)) => {
                let (key, resource) = self.at_key_in(version, key, resource).await?;
                asked.resource = Some(resource);
                Address::Resource(key)
            }
            (Address::Type(kind), Some(resource)) => {
                let (kind, resource) = self.of_type_in(version, *kind, resource)?;
                asked.resource = Some(resource);
                Address::Type(kind)
            }
            (address, resource) => {
                asked.resource = resource;
                self.address_meant(address, version).await?
            }
        };
        Ok(asked)
    }

    /// Reads a Bundle of a version with every finding. Where a resource alone is faulty, the findings go with the place of its
    /// entry: the other entries of a batch are carried out.
    fn read_bundle(&self, version: convert::Version, body: &[u8]) -> Result<(Bundle, BTreeMap<usize, Report>)> {
        let (resource, mut report) = self.check_in(version, body).into_parts();
        if matches!(&resource, Some(Resource::Bundle(bundle)) if bundle.total.is_some()) {
            // Some clients write the number of the entries into what they send.
            report.retain(|issue| issue.rule != "bdl-1");
        }
        let whole = || self.unconvertible(report.clone());
        let bundle = match resource {
            Some(Resource::Bundle(bundle)) => *bundle,
            Some(other) if !report.has_errors() => {
                let words = format!("the resource is a {}, and a Bundle is wanted", other.resource_type());
                return Err(Problem::bad("resource-type", words));
            }
            _ => return Err(whole()),
        };
        if !report.has_errors() {
            return Ok((bundle, BTreeMap::new()));
        }
        // Where findings are not listed, there is no telling which entries they are of.
        if report.omitted() > 0 {
            return Err(whole());
        }
        let mut faults: BTreeMap<usize, Report> = BTreeMap::new();
        for issue in report.iter().filter(|issue| issue.severity <= crate::issue::Severity::Error) {
            // The place of what a conversion finds is that in the document that was sent.
            let sent = issue.places.as_deref().and_then(|places| places.source.as_deref());
            let at = entry_of(sent.unwrap_or(&issue.at));
            let (Some(at), Some(BundleType::Batch)) = (at, bundle.r#type.value) else {
                return Err(whole());
            };
            faults.entry(at).or_default().push(issue.clone());
        }
        Ok((bundle, faults))
    }
}

/// Returns the entries of a batch, each with the refusal where it refers to another one: they are carried out one by
/// one, in any order.
fn independent(asked: Vec<Result<Asked>>) -> Vec<Result<Asked>> {
    let urls: BTreeSet<String> = asked.iter().flatten().filter_map(|asked| asked.full_url.clone()).collect();
    let refuse = |asked: Asked| {
        let mut other = None;
        if let Some(resource) = asked.resource.as_ref().filter(|_| !urls.is_empty()) {
            rewrite(&resource.to_json(), &mut |text| {
                if (is_temporary(text) && urls.contains(text)) && other.is_none() {
                    other = Some(text.to_owned());
                }
                None
            });
        }
        match other {
            None => Ok(asked),
            Some(text) => {
                let words = format!(
                    "`{text}` is another entry of the batch, whose entries are independent: send a transaction"
                );
                Err(Problem::new(400, IssueType::BusinessRule, "batch-reference", words).at(&asked.place))
            }
        }
    };
    asked.into_iter().map(|asked| asked.and_then(refuse)).collect()
}

/// Returns the answer to an entry that reads, where the others have filled the Bundle.
pub(super) fn full_answer(limits: &Limits) -> Problem {
    let most = limits.answer_bytes();
    let words = format!("the answers to the entries before have {most} bytes or more: send this one in another batch");
    Problem::new(413, IssueType::TooCostly, "answer-too-large", words)
}

/// Returns the entry in whose resource a place is.
fn entry_of(place: &str) -> Option<usize> {
    let (at, rest) = place.strip_prefix("Bundle.entry[")?.split_once(']')?;
    let within = rest.strip_prefix(".resource").is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    within.then(|| at.parse().ok()).flatten()
}

/// Adds what became of an entry.
pub(super) fn add(bundle: &mut BundleWriter, answer: &Response) {
    let resource = Some(&answer.body).filter(|body| !body.is_empty() && !tells_an_outcome(answer));
    bundle.entry(None, resource, &format!("\"response\":{}", response(answer)));
}

/// Returns whether an answer is an outcome, which an entry has beside its status and not as its resource.
fn tells_an_outcome(answer: &Response) -> bool {
    !answer.body.is_empty()
        && (answer.status >= 400 || answer.body.starts_with(b"{\"resourceType\":\"OperationOutcome\""))
}

/// Returns what an entry of a Bundle says of its answer.
pub(super) fn response(answer: &Response) -> String {
    let mut told = format!("{{\"status\":{}", quoted(status_line(answer.status)));
    if let Some(location) = answer.header("location") {
        told += &format!(",\"location\":{}", quoted(location));
    }
    if let Some(tag) = answer.header("etag") {
        told += &format!(",\"etag\":{}", quoted(tag));
    }
    if let Some(modified) = answer.changed.and_then(|moment| Instant::try_from(to_millisecond(moment)).ok()) {
        told += &format!(",\"lastModified\":{}", quoted(modified.as_str()));
    }
    if tells_an_outcome(answer) {
        told += &format!(",\"outcome\":{}", String::from_utf8_lossy(&answer.body));
    }
    told.push('}');
    told
}

fn status_line(status: u16) -> String {
    let words = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        _ => return status.to_string(),
    };
    format!("{status} {words}")
}

/// Returns the answer to an entry that made a version, or met one.
pub(super) async fn of_write<S: ResourceStore + ?Sized>(
    server: &Server<S>,
    asked: &Asked,
    status: u16,
    version: &Version,
) -> Result<Response> {
    if version.is_deleted() {
        return Ok(super::server::of_version(Response::empty(status), version));
    }
    server.written(&asked.request, status, version).await
}
