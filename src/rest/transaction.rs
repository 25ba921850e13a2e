//! Transactions: every entry or none, in one commit.

use super::address::Address;
use super::bundle::{Asked, add, full_answer, of_write};
use super::find::size;
use super::header::{IfMatch, Return, if_match, prefers};
use super::link::rewrite;
use super::problem::{Problem, Result};
use super::query::Query;
use super::verb::posted;
use super::write::{
    Candidate, exists_already, has_id_of, name, new_key, of_deletion, of_type, overtaken, takes_no_condition,
};
use super::{Response, Server};
use crate::code::HttpVerb;
use crate::datatype::Literal;
use crate::element::ReadMode;
use crate::issue::IssueType;
use crate::resource::{Resource, read_within};
use crate::search::ResourceType;
use crate::store::{
    AtomicScope, CommitError, Key, Precondition, ResourceStore, StoreError, ValidWrite, Version, VersionId,
};
use crate::support::yield_now;
use crate::validate::Valid;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// The longest `fullUrl` below whose service relative references are looked for, in bytes.
const MAX_URL: usize = 2_048;

/// The number of tries of a transaction whose resources are changed by others.
const TRIES: u32 = 4;

/// What one entry does, once it is known which resource it is about.
#[derive(Debug)]
enum Step {
    /// Reads, when all is written.
    Read,
    /// Nothing is written: the resource exists already. Its body is not held.
    There(Box<Version>),
    /// Nothing is written: the resource is deleted already.
    Gone,
    Write {
        key: Key,
        /// What is stored under the key, with its body where the write depends on it.
        stored: Option<Box<Version>>,
        when: Precondition,
        status: u16,
        /// The condition is the client's: where it fails, the transaction does.
        insisted: bool,
    },
}

impl Step {
    fn key(&self) -> Option<&Key> {
        match self {
            Self::There(version) => Some(&version.key),
            Self::Write { key, .. } => Some(key),
            Self::Read | Self::Gone => None,
        }
    }

    /// Returns the same without the bodies that nothing depends on, and how many bytes are held.
    fn without_unused_body(mut self, of: HttpVerb) -> (Self, usize) {
        let held = match &mut self {
            Self::There(version) => {
                version.body = Some(Bytes::new());
                0
            }
            Self::Write { key, stored: Some(stored), .. } => {
                if of == HttpVerb::Delete || key.resource_type() != ResourceType::DeviceComponent {
                    stored.body = stored.body.as_ref().map(|_| Bytes::new());
                }
                size(stored)
            }
            _ => 0,
        };
        (self, held)
    }
}

impl<S: ResourceStore + ?Sized> Server<S> {
    /// Carries all entries out, or none.
    pub(super) async fn transaction(&self, asked: Vec<Result<Asked>>) -> Result<Response> {
        let mut entries = Vec::with_capacity(asked.len());
        let mut faults = Faults::default();
        for asked in asked {
            match asked.and_then(|asked| {
                checked(&asked).map_err(|problem| problem.at(&asked.place))?;
                Ok(asked)
            }) {
                Ok(asked) => entries.push(asked),
                Err(problem) => faults.add(problem),
            }
        }
        faults.none()?;
        for turn in 0..TRIES {
            let steps = self.steps(&entries, turn).await?;
            self.reads_will_succeed(&entries, &steps).await?;
            let referring = self.referring_to_deleted(&entries, &steps).await?;
            let writes = self.writes(&entries, &steps).await?;
            self.can_commit(&writes)?;
            let order: Vec<usize> = writes.iter().map(|(at, _)| *at).collect();
            let sent: Vec<ValidWrite> = writes.into_iter().map(|(_, write)| write).collect();
            match self.commit_resolved(sent).await {
                Ok(made) => {
                    let made: BTreeMap<usize, Version> = order.into_iter().zip(made).collect();
                    return self.answers(&entries, &steps, &made, &referring).await;
                }
                Err(CommitError { index, error }) => {
                    let at = index.and_then(|index| order.get(index)).copied();
                    let step = at.and_then(|at| steps.get(at));
                    let raced = matches!(step, Some(Step::Write { insisted: false, .. }))
                        && matches!(
                            error,
                            StoreError::Conflict { .. }
                                | StoreError::AlreadyExists { .. }
                                | StoreError::NotFound { .. }
                                | StoreError::Gone { .. }
                        );
                    if !raced {
                        return Err(refused(error, at, step, &entries));
                    }
                }
            }
        }
        Err(overtaken())
    }

    /// Refuses the transaction where an entry that reads is going to fail, as far as that is known before the writes: one entry
    /// that fails fails all.
    async fn reads_will_succeed(&self, entries: &[Asked], steps: &[Step]) -> Result<()> {
        let mut written = BTreeMap::new();
        for (entry, step) in entries.iter().zip(steps) {
            if let Step::Write { key, .. } = step {
                written.insert(key, entry.method);
            }
        }
        let mut faults = Faults::default();
        let mut read = 0_usize;
        for entry in entries.iter().filter(|entry| entry.method == HttpVerb::Get) {
            // What comes behind a full answer is not read.
            if read > self.limits.answer_bytes() {
                break;
            }
            let checked = match &entry.address {
                Address::Resource(key) => match written.get(key) {
                    Some(HttpVerb::Delete) => Err(Problem::new(
                        410,
                        IssueType::NotFound,
                        "deleted",
                        format_args!("{key} is deleted by another entry"),
                    )),
                    Some(_) => Ok(0),
                    None => self.length_of_read(entry).await,
                },
                Address::History(key) if written.contains_key(key) => Ok(0),
                Address::Type(kind) => {
                    Query::read(*kind, &entry.request.query, &self.setting(), self.handling).map(|_| 0)
                }
                _ => self.length_of_read(entry).await,
            };
            match checked {
                Ok(bytes) => read = read.saturating_add(bytes),
                Err(problem) => faults.add(problem.at(&entry.place)),
            }
        }
        faults.none()
    }

    /// Returns how many bytes an entry that reads is answered with.
    async fn length_of_read(&self, entry: &Asked) -> Result<usize> {
        Ok(self.interact(&entry.request, &entry.address, None).await?.body.len())
    }

    /// Those that refer to what the transaction deletes, and stay, by the places of the entries.
    async fn referring_to_deleted(&self, entries: &[Asked], steps: &[Step]) -> Result<BTreeMap<usize, Vec<Key>>> {
        let deleted = || {
            let each = entries.iter().zip(steps).enumerate();
            each.filter_map(|(at, (entry, step))| match step {
                Step::Write { key, .. } if entry.method == HttpVerb::Delete => Some((at, entry, key)),
                _ => None,
            })
        };
        let with: BTreeSet<Key> = deleted().map(|(.., key)| key.clone()).collect();
        let mut referring = BTreeMap::new();
        for (at, entry, key) in deleted() {
            let others = self.referring_to(key, &with).await.map_err(|problem| problem.at(&entry.place))?;
            referring.insert(at, others);
        }
        Ok(referring)
    }

    /// Finds out which resource each entry is about, and under which condition it is written.
    async fn steps(&self, entries: &[Asked], turn: u32) -> Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(entries.len());
        let mut taken: BTreeSet<Key> = BTreeSet::new();
        let mut held = 0_usize;
        let mut faults = Faults::default();
        for entry in entries {
            match self.step(entry, turn, &taken).await.map_err(|problem| problem.at(&entry.place)) {
                Ok(step) => {
                    let (step, bytes) = step.without_unused_body(entry.method);
                    held = held.saturating_add(bytes);
                    if held > self.limits.answer_bytes() {
                        let most = self.limits.answer_bytes();
                        let words = format!("the transaction replaces components of more than {most} bytes together");
                        return Err(Problem::new(413, IssueType::TooCostly, "too-costly", words).at(&entry.place));
                    }
                    if let Step::Write { key, .. } = &step
                        && !taken.insert(key.clone())
                    {
                        let words = format!("{key} is written by several entries, and by one alone it may be");
                        faults.add(Problem::new(400, IssueType::Duplicate, "written-twice", words).at(&entry.place));
                    }
                    steps.push(step);
                }
                Err(problem) => faults.add(problem),
            }
        }
        faults.none()?;
        Ok(steps)
    }

    async fn step(&self, entry: &Asked, turn: u32, taken: &BTreeSet<Key>) -> Result<Step> {
        let given = if_match(&entry.request)?;
        let insisted = given.is_some();
        let over = |stored: Version, status: u16| {
            let own = Precondition::Version(stored.version);
            let when = given.as_ref().map_or(own, |given| given.over(Some(stored.version)));
            let insisted = given.as_ref().is_some_and(IfMatch::names_a_version);
            Ok(Step::Write { key: stored.key.clone(), stored: Some(Box::new(stored)), when, status, insisted })
        };
        let create = |key: Key, insisted: bool| {
            Ok(Step::Write { key, stored: None, when: Precondition::Absent, status: 201, insisted })
        };
        match (entry.method, &entry.address) {
            (HttpVerb::Get, _) => Ok(Step::Read),
            (HttpVerb::Put, Address::Resource(key)) => {
                if let Some(resource) = &entry.resource {
                    has_id_of(resource, key)?;
                }
                let new = entry.request.one("if-none-match") == Some("*");
                match self.store.read(key).await {
                    Ok(_) if new => Err(exists_already(key)),
                    Ok(version) => over(version, 200),
                    Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) if insisted => {
                        Err(Problem::of_store(&StoreError::conflict(None), key))
                    }
                    Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => create(key.clone(), new),
                    Err(error) => Err(Problem::of_store(&error, key)),
                }
            }
            (HttpVerb::Delete, Address::Resource(key)) => match self.store.read(key).await {
                Ok(version) => over(version, 204),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) if !insisted => Ok(Step::Gone),
                Err(StoreError::NotFound { .. } | StoreError::Gone { .. }) => {
                    Err(Problem::of_store(&StoreError::conflict(None), key))
                }
                Err(error) => Err(Problem::of_store(&error, key)),
            },
            (HttpVerb::Put, Address::Type(kind)) => {
                let query = self.condition(*kind, &entry.request.query, "conditional")?;
                match self.only(&query, "conditional").await? {
                    Some(found) => {
                        if let Some(resource) = entry.resource.as_ref().filter(|resource| resource.id().is_some()) {
                            has_id_of(resource, &found.key)?;
                        }
                        over(found, 200)
                    }
                    None if insisted => Err(Problem::of_store(&StoreError::conflict(None), kind)),
                    None => match self.free_key(&query, turn, taken).await? {
                        Candidate::Found(found) => over(*found, 200),
                        Candidate::Free(key) => create(key, false),
                        Candidate::Taken => Err(overtaken()),
                    },
                }
            }
            (HttpVerb::Delete, Address::Type(kind)) => {
                let query = self.condition(*kind, &entry.request.query, "conditional")?;
                match self.only(&query, "conditional").await? {
                    Some(found) => over(found, 204),
                    None => Ok(Step::Gone),
                }
            }
            (HttpVerb::Post, Address::Type(kind)) => {
                let Some(condition) = entry.request.one("if-none-exist") else {
                    return create(new_key(*kind)?, insisted);
                };
                let query = self.condition(*kind, condition, "if-none-exist")?;
                if let Some(found) = self.only(&query, "if-none-exist").await? {
                    return Ok(Step::There(Box::new(found)));
                }
                if let Some(resource) = &entry.resource {
                    self.meets_its_condition(resource, &query, "if-none-exist")?;
                }
                match self.free_key(&query, turn, taken).await? {
                    Candidate::Found(found) => Ok(Step::There(found)),
                    Candidate::Free(key) => create(key, insisted),
                    Candidate::Taken => Err(overtaken()),
                }
            }
            _ => Err(method_not_allowed(entry)),
        }
    }

    /// Returns the key of a conditional creation; keys that hold something else are passed over.
    async fn free_key(&self, query: &Query, turn: u32, taken: &BTreeSet<Key>) -> Result<Candidate> {
        for turn in turn..turn.saturating_add(TRIES) {
            match self.key_for(query, turn).await? {
                Candidate::Taken => {}
                Candidate::Free(key) if taken.contains(&key) => {
                    let words = "two entries create under the same condition";
                    return Err(Problem::new(400, IssueType::Duplicate, "written-twice", words));
                }
                candidate => return Ok(candidate),
            }
        }
        Ok(Candidate::Free(new_key(query.resource_type)?))
    }

    /// Returns the writes in the order DELETE, POST, PUT, each with the place of its entry; references lead to where
    /// the entries are written.
    async fn writes(&self, entries: &[Asked], steps: &[Step]) -> Result<Vec<(usize, ValidWrite)>> {
        let addresses = Addresses::of(entries, steps);
        let mut faults = Faults::default();
        let mut writes = Vec::new();
        for (at, (entry, step)) in entries.iter().zip(steps).enumerate() {
            let Step::Write { key, stored, when, .. } = step else { continue };
            if entry.method == HttpVerb::Delete {
                writes.push((at, ValidWrite::delete(key.clone(), *when).with_id(super::write::write_id()?)));
                continue;
            }
            match self.linked(entry, (key, stored.as_deref(), *when), &addresses).await {
                Ok(write) => writes.push((at, write)),
                Err(problem) => faults.add(problem.at(&entry.place)),
            }
        }
        faults.none()?;
        writes.sort_by_key(|(at, _)| match entries.get(*at).map(|entry| entry.method) {
            Some(HttpVerb::Delete) => 0,
            Some(HttpVerb::Post) => 1,
            _ => 2,
        });
        Ok(writes)
    }

    /// Returns the write of an entry's resource, named, with its references set.
    async fn linked(
        &self,
        entry: &Asked,
        (key, stored, when): (&Key, Option<&Version>, Precondition),
        addresses: &Addresses,
    ) -> Result<ValidWrite> {
        let Some(resource) = entry.resource.clone() else { return Err(method_not_allowed(entry)) };
        let resource = name(resource, key)?;
        let json = resource.to_json();
        let home = home(entry);
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut dangling: BTreeSet<String> = BTreeSet::new();
        rewrite(&json, &mut |text| {
            if is_conditional(text) {
                asked.insert(text.to_owned());
            } else if is_temporary(text) && addresses.target(text, home).is_none() {
                dangling.insert(text.to_owned());
            }
            None
        });
        if let Some(text) = dangling.first() {
            let words = format!("`{text}` is the `fullUrl` of no entry of the transaction");
            return Err(Problem::new(400, IssueType::NotFound, "dangling-reference", words));
        }
        let mut conditional = BTreeMap::new();
        for text in asked {
            let found = self.conditional(&text).await?;
            conditional.insert(text, found.to_string());
        }
        let changed = rewrite(&json, &mut |text| {
            conditional.get(text).cloned().or_else(|| addresses.target(text, home).map(ToString::to_string))
        });
        let named = |write: ValidWrite| match entry.method {
            HttpVerb::Post => Ok(write.with_id(posted(key)?)),
            _ => Ok(write),
        };
        if changed == json {
            return named(self.client_write(resource, stored, when).await?);
        }
        // Reading tells whether a reference may lead where it does now. No rule is about one that is neither to a contained
        // resource nor was, so that what was valid still is.
        match read_within::<Resource>(changed.as_bytes(), ReadMode::Strict, self.limits.read_memory(), None) {
            (Some(resource), report) if !report.has_errors() => {
                named(self.client_write(Valid::known(resource), stored, when).await?)
            }
            (_, report) => Err(Problem::document_within(report, &self.limits)),
        }
    }

    /// Returns the one resource that a conditional reference means: `Device?identifier=urn:x|1`.
    async fn conditional(&self, text: &str) -> Result<Key> {
        let failed = |words: String| Problem::new(412, IssueType::NotFound, "conditional-reference", words);
        let (kind, query) = text.split_once('?').unwrap_or((text, ""));
        let kind: ResourceType =
            kind.parse().map_err(|_| failed(format!("`{text}` cannot be looked for: no {kind} is kept here")))?;
        let query = self.condition(kind, query, "conditional-reference")?;
        match self.only(&query, "conditional-reference").await? {
            Some(found) => Ok(found.key),
            None => Err(failed(format!("nothing meets `{text}`"))),
        }
    }

    /// Returns whether the store can write all of this at once, asked before anything is written.
    fn can_commit(&self, writes: &[(usize, ValidWrite)]) -> Result<()> {
        let can = self.store.capabilities();
        if writes.len() > can.max_writes {
            let words =
                format!("the transaction writes {} resources, and the store at most {}", writes.len(), can.max_writes);
            return Err(Problem::new(413, IssueType::TooCostly, "too-many-writes", words));
        }
        if writes.len() > 1 && can.atomic == AtomicScope::Key {
            let words = "the store writes one resource at a time: send a batch, or one entry a transaction";
            return Err(Problem::unsupported(501, "transaction-scope", words));
        }
        Ok(())
    }

    /// Commits, and finds out what became of it where the answer is lost: the newest versions tell it by their write ids.
    async fn commit_resolved(&self, writes: Vec<ValidWrite>) -> std::result::Result<Vec<Version>, CommitError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let sent: Vec<_> = writes.iter().map(|write| (write.key.clone(), write.write_id)).collect();
        let lost = match self.store.commit(writes).await {
            Err(refused) if refused.error.applied() == crate::store::Applied::Unknown => refused,
            answer => return answer,
        };
        let mut made = Vec::with_capacity(sent.len());
        for (key, id) in sent {
            let few = NonZeroU32::MIN.saturating_add(7);
            let Ok(page) = self.store.history(&key, few, None).await else { return Err(lost) };
            match page.items.into_iter().find(|version| version.write_id == id) {
                Some(version) => made.push(version),
                None => return Err(lost),
            }
        }
        Ok(made)
    }

    /// Returns what became of each entry, in the order of the request.
    async fn answers(
        &self,
        entries: &[Asked],
        steps: &[Step],
        made: &BTreeMap<usize, Version>,
        referring: &BTreeMap<usize, Vec<Key>>,
    ) -> Result<Response> {
        let mut bundle = self.bundle_writer("transaction-response", None, &[]);
        for (at, (entry, step)) in entries.iter().zip(steps).enumerate() {
            let full = self.spent.is_full(&self.limits);
            let response = match (step, made.get(&at)) {
                (Step::Write { .. }, Some(version)) if version.is_deleted() => {
                    of_deletion(version, referring.get(&at).map(Vec::as_slice).unwrap_or_default())
                }
                (Step::Write { status, .. }, Some(version)) if full => self.located(*status, version),
                (Step::Write { status, .. }, Some(version)) => of_write(self, entry, *status, version).await?,
                (Step::There(version), _) if full => self.located(200, version),
                (Step::There(version), _) if prefers(&entry.request) != Return::Representation => {
                    of_write(self, entry, 200, version).await?
                }
                (Step::There(version), _) => {
                    let found = self.store.read(&version.key).await;
                    of_write(self, entry, 200, &found.map_err(|error| Problem::of_store(&error, &version.key))?).await?
                }
                (Step::Read, _) if full => self.told(full_answer(&self.limits).at(&entry.place)),
                (Step::Read, _) => self
                    .interact(&entry.request, &entry.address, None)
                    .await
                    .unwrap_or_else(|problem| self.told(problem)),
                _ => Response::empty(204),
            };
            self.spent.answer(response.body.len());
            add(&mut bundle, &response);
            yield_now().await;
        }
        Ok(Response::json(200, bundle.finish()))
    }
}

/// Returns what can be told of an entry without the store.
fn checked(entry: &Asked) -> Result<()> {
    match (entry.method, &entry.address) {
        (HttpVerb::Get, Address::Base) => Err(method_not_allowed(entry)),
        (HttpVerb::Get, _) => Ok(()),
        (HttpVerb::Put | HttpVerb::Delete, Address::Resource(key)) => {
            takes_no_condition(&entry.request)?;
            entry.resource.as_ref().map_or(Ok(()), |resource| of_type(key.resource_type(), resource))
        }
        (HttpVerb::Put | HttpVerb::Delete | HttpVerb::Post, Address::Type(kind)) => {
            if entry.method == HttpVerb::Post {
                takes_no_condition(&entry.request)?;
            }
            entry.resource.as_ref().map_or(Ok(()), |resource| of_type(*kind, resource))
        }
        _ => Err(method_not_allowed(entry)),
    }
}

fn method_not_allowed(entry: &Asked) -> Problem {
    let words = format!("`{}` does not take {} in a transaction", entry.request.path, entry.method.as_str());
    Problem::unsupported(405, "method", words)
}

/// Returns the store's refusal, told of the entry that decided it.
fn refused(error: StoreError, at: Option<usize>, step: Option<&Step>, entries: &[Asked]) -> Problem {
    let key = step.and_then(Step::key);
    let error = match error {
        StoreError::NotFound { .. } | StoreError::Gone { .. } => StoreError::conflict(None::<VersionId>),
        error => error,
    };
    let what = key.map_or_else(|| "the transaction".to_owned(), ToString::to_string);
    let problem = Problem::of_store(&error, what);
    match at.and_then(|at| entries.get(at)) {
        Some(entry) => problem.at(&entry.place),
        None => problem,
    }
}

/// Returns whether a reference is to the `fullUrl` of an entry, and to nothing outside its Bundle.
pub(super) fn is_temporary(text: &str) -> bool {
    ["urn:uuid:", "urn:oid:"].iter().any(|scheme| text.starts_with(scheme))
}

fn is_conditional(text: &str) -> bool {
    let kind = text.split_once('?').map(|(kind, _)| kind);
    kind.is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Returns the service that an entry is of, by its `fullUrl`. One that is longer than any address of a resource is of
/// none.
fn home(entry: &Asked) -> Option<&str> {
    match Literal::parse(entry.full_url.as_deref().filter(|url| url.len() <= MAX_URL)?) {
        Literal::Absolute { base, .. } => Some(base),
        _ => None,
    }
}

/// Where the entries of a transaction are, by their temporary addresses.
struct Addresses(BTreeMap<String, Key>);

impl Addresses {
    fn of(entries: &[Asked], steps: &[Step]) -> Self {
        let known = entries.iter().zip(steps).filter(|(entry, _)| entry.method != HttpVerb::Get);
        Self(known.filter_map(|(entry, step)| Some((entry.full_url.clone()?, step.key()?.clone()))).collect())
    }

    /// Returns what a reference of an entry leads to. A relative one is below the service of the entry that has it,
    /// `home`.
    fn target(&self, text: &str, home: Option<&str>) -> Option<&Key> {
        if let Some(key) = self.0.get(text) {
            return Some(key);
        }
        let Literal::Relative { resource_type, id, version: None } = Literal::parse(text) else { return None };
        self.0.get(&format!("{}/{resource_type}/{id}", home?))
    }
}

/// The faults of several entries, told together.
#[derive(Default)]
struct Faults(Option<Problem>);

impl Faults {
    fn add(&mut self, problem: Problem) {
        self.0 = Some(match self.0.take() {
            Some(before) => before.and(problem),
            None => problem,
        });
    }

    fn none(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
