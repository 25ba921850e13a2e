//! What a server does, tried out on resources of our own.

use super::FhirServer;
use super::content::incoming;
use super::fault::{ServerFault, refusal};
use super::options::{Creation, Deletion, Options};
use super::place::read;
use super::read::CurrentState;
use super::wire::{OutgoingRequest, ServerResponse};
use super::write::NO_VERSION;
use crate::search::{Criterion, IndexEntries, Parameter, ResourceType};
use crate::store::{
    Key, ResourceStore as _, Result, Search, StoreError, Subject, Tenant, VersionId, Write, random_number,
};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The most writes of a commit on a server whose transactions hold.
const TRANSACTION_WRITES: usize = 100;
/// How often a search must see at once what was written before it.
const SEARCHES: usize = 3;

/// The resources that are tried, of which none was there before.
struct Probe<'a> {
    server: &'a FhirServer,
    tenant: &'a Tenant,
    name: String,
}

/// Returns the number of a version, `W/"7"`, as a condition.
fn if_match(tag: &str) -> Option<(&'static str, String)> {
    Some(("if-match", tag.to_owned()))
}

/// A version that no resource of a probe comes to.
const OTHER_VERSION: u64 = 4_999;

impl Options {
    /// The server at an address, of which everything was tried that the store relies on: the CapabilityStatement is read, and
    /// resources with ids of their own, `fhir-devices-probe-..`, are created, changed and deleted in this tenant. What the
    /// server does decides on the capabilities of the store, and on the conditions that are sent:
    ///
    /// - whether `If-None-Match: *` keeps a creation from what is there, or else `If-Match` of a version that cannot be;
    /// - whether `If-Match` over what never was creates it: then an update looks first, unless the version was seen before;
    /// - whether `If-Match` keeps a deletion from what another wrote, or else the version in the address;
    /// - whether codes and identifiers are compared with their case, and searches see at once what was written;
    /// - whether versions can be read, and their history;
    /// - whether transactions are applied as a whole and heed the conditions of their entries.
    ///
    /// These replace what these options say of the same. An option that says that the server may not do something stays:
    /// [`without_history`](Self::without_history), [`with_gaps`](Self::with_gaps).
    ///
    /// ```no_run
    /// # use fhir_devices::backend::fhir_http::Options;
    /// # use fhir_devices::store::ResourceStore;
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Options::new().connect("https://fhir.example/{tenant}/stu3", &"st-mary".parse()?).await?;
    /// assert!(server.capabilities().conditional_create, "two services may create the same device at once");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Backend`] with a [`ServerFault`]: [`Lacking`](ServerFault::Lacking) for what the server does not have,
    /// [`ElementLost`](ServerFault::ElementLost) where it drops or changes what is written. Otherwise as a write and a read.
    pub async fn connect(self, address: &str, tenant: &Tenant) -> Result<FhirServer> {
        let mut careful = self;
        careful.max_writes = 1;
        let connected = careful.at(address)?.connected(tenant).await;
        connected.map_err(|error| error.about(Subject::Tenant(tenant.clone())))
    }
}

impl FhirServer {
    async fn connected(self, tenant: &Tenant) -> Result<Self> {
        let said = self.statement(tenant).await?;
        let (transactions, missing) = (said.transactions(), self.missing_in(said));
        if !missing.is_empty() {
            return Err(ServerFault::Lacking { what: missing }.into());
        }
        self.probed(tenant, transactions).await
    }

    /// `transactions` is whether the server says that it takes some.
    async fn probed(mut self, tenant: &Tenant, transactions: bool) -> Result<Self> {
        let name = format!("fhir-devices-probe-{:016x}", random_number()? >> 64);
        let found = Probe { server: &self, tenant, name: name.clone() }.run(transactions).await;
        // What it did is undone whatever it came to.
        let tidied = Probe { server: &self, tenant, name }.tidy().await;
        self.options = found?;
        tidied?;
        Ok(self)
    }
}

impl Probe<'_> {
    fn key(&self, of: &str) -> Result<Key> {
        Ok(Key::new(ResourceType::Device, format!("{}-{of}", self.name).as_str())?)
    }

    /// What is sent of a device.
    fn device(&self, of: &str, model: &str) -> Result<String> {
        let identifier = json!([{"system": "urn:fhir-devices:probe", "value": format!("{}-Aa", self.name)}]);
        let id = format!("{}-{of}", self.name);
        let json = json!({"resourceType": "Device", "id": id, "identifier": identifier, "model": model}).to_string();
        let options = &self.server.options;
        options.dialect.outgoing(&self.key(of)?, json.as_bytes(), None, &options.canonical)
    }

    async fn put(&self, of: &str, model: &str, when: Option<(&'static str, String)>) -> Result<ServerResponse> {
        let address = self.server.address(&self.key(of)?);
        self.server.send(self.tenant, OutgoingRequest::put(&address, when, &self.device(of, model)?)).await
    }

    /// Returns whether a conditional request was refused; an error where it failed for another reason.
    fn refused(&self, answer: &ServerResponse) -> Result<bool> {
        match answer.status {
            404 | 409 | 410 | 412 | 428 => Ok(true),
            _ if answer.is_success() => Ok(false),
            _ => Err(refusal(answer, true, self.server.options.max_body)),
        }
    }

    async fn state(&self, of: &str) -> Result<CurrentState> {
        self.server.look(self.tenant, &self.key(of)?).await
    }

    /// Returns the number of the living version.
    async fn living(&self, of: &str) -> Result<VersionId> {
        match self.state(of).await? {
            CurrentState::Living(found) => Ok(found.version),
            _ => Err(unproven(format!("`{}` was written, and is not there", self.key(of)?))),
        }
    }

    async fn run(&self, transactions: bool) -> Result<Options> {
        let mut options = self.server.options.clone();
        self.keeps_what_is_written().await?;
        options.creation = self.creation().await?;
        options.update_may_create = !self.refused(&self.put("never", "1", if_match("W/\"1\"")).await?)?;
        self.refuses_other_versions().await?;
        options.deletion = self.deletion().await?;
        if options.creation == Creation::IfMatch && !self.recreates().await? {
            options.creation = Creation::Unproven;
        }
        options.minds_case |= !self.finds_folded().await?;
        options.reads_own_writes = self.finds_at_once().await?;
        self.keeps_versions().await?;
        let (atomic, deletes) = match transactions && options.creation != Creation::Unproven {
            true => self.transactions(options.creation).await?,
            false => (false, false),
        };
        options.max_writes = if atomic { TRANSACTION_WRITES } else { 1 };
        options.transaction_may_delete = !deletes;
        Ok(options)
    }

    /// What is written must come back: extensions of extensions, digits of decimals, an update that is offered.
    async fn keeps_what_is_written(&self) -> Result<()> {
        let id = format!("{}-kept", self.name);
        let update = "https://example.org/fhir-devices-probe";
        let json = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{id}","extension":[{{"url":"{update}","extension":[
            {{"url":"file","valueAttachment":{{"contentType":"application/octet-stream","url":"https://files.example/a","size":7,"hash":"2jmj7l5rSw0yVb/vlWAYkK/YBwk=","title":"a.bin"}}}},
            {{"url":"version","valueString":"4.2.0"}},{{"url":"count","valueUnsignedInt":3}},{{"url":"at","valueInstant":"2017-04-19T10:00:00.120Z"}},
            {{"url":"number","valueDecimal":1.500}},{{"url":"small","valueDecimal":0.10}}]}}],
            "identifier":{{"system":"urn:fhir-devices:probe","value":"{id}"}},
            "type":{{"coding":[{{"system":"urn:iso:std:iso:11073:10101","code":"69985"}}],"text":"probe","_text":{{"extension":[{{"url":"https://example.org/kept","valueBoolean":true}}]}}}},
            "productionSpecification":[{{"specType":{{"text":"software-revision"}},"productionSpec":"4.1.9"}}]}}"#
        );
        let key = Key::new(ResourceType::DeviceComponent, id.as_str())?;
        let wrote = incoming(ResourceType::DeviceComponent, json.as_bytes());
        let wrote = wrote.map_err(|why| StoreError::invalid(format!("the probe: {why}")))?.body;
        let write = Write::put(key.clone(), wrote.clone(), IndexEntries::new());
        let made = self.server.commit(self.tenant, vec![write]).await.map_err(|refused| refused.error)?;
        let read = self.server.read(self.tenant, &key).await?;
        for found in made.iter().chain([&read]) {
            let body = found.body.as_deref().unwrap_or_default();
            if let Some(at) = lost("DeviceComponent", raw(&wrote)?, raw(body)?) {
                return Err(ServerFault::ElementLost { at }.into());
            }
        }
        Ok(())
    }

    async fn creation(&self) -> Result<Creation> {
        let any = || Some(("if-none-match", "*".to_owned()));
        if self.refused(&self.put("a", "1", any()).await?)? {
            return Err(unproven(format!("a creation of `{}`, which never was, is refused", self.key("a")?)));
        }
        let first = self.living("a").await?;
        if self.refused(&self.put("a", "2", any()).await?)? && self.living("a").await? == first {
            return Ok(Creation::IfNoneMatch);
        }
        let before = self.living("a").await?;
        let over = self.refused(&self.put("a", "3", if_match(NO_VERSION)).await?)?;
        let holds = over && self.living("a").await? == before;
        let creates = !self.refused(&self.put("b", "1", if_match(NO_VERSION)).await?)?;
        Ok(if holds && creates { Creation::IfMatch } else { Creation::Unproven })
    }

    /// An update on the condition of another version than the newest must fail: there is no store without it.
    async fn refuses_other_versions(&self) -> Result<()> {
        let before = self.living("a").await?;
        let tag = format!("W/\"{OTHER_VERSION}\"");
        let refused = self.refused(&self.put("a", "4", if_match(&tag)).await?)?;
        match self.living("a").await? {
            after if refused && after == before => Ok(()),
            after => Err(ServerFault::ConditionIgnored { made: after.get() }.into()),
        }
    }

    /// Returns whether something is still there after a deletion on the condition of another version.
    async fn survives(&self, of: &str, address: &str) -> Result<bool> {
        let other = VersionId::new(OTHER_VERSION).unwrap_or(VersionId::FIRST);
        let answer = self.server.send(self.tenant, OutgoingRequest::delete(address, other)).await?;
        let kept = matches!(self.state(of).await?, CurrentState::Living(_));
        // A server that does not know the address of a deletion says so.
        Ok(kept && !answer.is_success())
    }

    async fn deletion(&self) -> Result<Deletion> {
        if self.survives("a", &self.key("a")?.to_string()).await? {
            return Ok(Deletion::IfMatch);
        }
        self.put("c", "1", None).await?;
        let (key, before) = (self.key("c")?, self.living("c").await?);
        let survives = self.survives("c", &format!("{key}/_history/{OTHER_VERSION}")).await?;
        let address = format!("{key}/_history/{before}");
        let answer = self.server.send(self.tenant, OutgoingRequest::delete(&address, before)).await?;
        let deleted = matches!(self.state("c").await?, CurrentState::Gone(_));
        Ok(if survives && answer.is_success() && deleted { Deletion::Address } else { Deletion::Unproven })
    }

    /// Returns whether what is deleted can be created anew by the number of its deletion, and by no other.
    async fn recreates(&self) -> Result<bool> {
        let key = self.key("b")?;
        self.server.send(self.tenant, OutgoingRequest::delete(&key.to_string(), VersionId::FIRST)).await?;
        let CurrentState::Gone(at) = self.state("b").await? else { return Ok(false) };
        let at = match at {
            Some(at) => at,
            None => self.server.newest(self.tenant, &key).await?.version,
        };
        let over = self.refused(&self.put("b", "2", if_match(NO_VERSION)).await?)?;
        let made = !self.refused(&self.put("b", "3", if_match(&at.etag())).await?)?;
        Ok(over && made && self.living("b").await? == at.next())
    }

    /// Returns whether an identifier is found in lower case that has a letter in upper case.
    async fn finds_folded(&self) -> Result<bool> {
        self.put("d", "1", None).await?;
        for _ in 0..5 {
            if self.finds("d", &format!("{}-Aa", self.name)).await? {
                return self.finds("d", &format!("{}-aa", self.name)).await;
            }
            // A server may be slow to find what it has.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Err(unproven(format!("`{}` is not found by its identifier", self.key("d")?)))
    }

    async fn finds(&self, of: &str, identifier: &str) -> Result<bool> {
        let pairs = [("identifier".to_owned(), format!("urn:fhir-devices:probe|{identifier}"))];
        let link = format!("Device?{}&_sort=_id&_count=50", super::place::encoded(&pairs));
        let (bundle, _) = self.server.bundle(self.tenant, OutgoingRequest::get(&link)).await?;
        let key = self.key(of)?;
        let is_key = |json: &RawValue| {
            let found = self.server.options.dialect.incoming(ResourceType::Device, json.get().as_bytes());
            found.is_ok_and(|found| found.is_some_and(|found| found.id == key.id().as_str()))
        };
        Ok(bundle.entry.iter().any(|entry| entry.is_match() && entry.resource.as_deref().is_some_and(is_key)))
    }

    async fn finds_at_once(&self) -> Result<bool> {
        for n in 0..SEARCHES {
            let model = format!("{}-{n}", self.name);
            self.put("d", &model, None).await?;
            let search = Search::new(ResourceType::Device).and(Criterion::value(Parameter::Model, &model));
            let found = self.server.search(self.tenant, &search).await?;
            if found.items.len() != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Every version must be there, and its history, unless the options say that there is none.
    async fn keeps_versions(&self) -> Result<()> {
        if !self.server.options.history {
            return Ok(());
        }
        let key = self.key("d")?;
        let newest = self.living("d").await?;
        let before = VersionId::new(newest.get().saturating_sub(1)).unwrap_or(VersionId::FIRST);
        for version in [newest, before] {
            self.server.vread(self.tenant, &key, version).await?;
        }
        let limit = std::num::NonZeroU32::MIN.saturating_add(9);
        let history = self.server.history(self.tenant, &key, limit, None).await?;
        match history.items.first() {
            Some(first) if first.version == newest => Ok(()),
            _ => Err(unproven(format!("the history of `{key}` does not begin with version {newest}"))),
        }
    }

    /// Returns whether a transaction is refused as a whole where a condition of one entry does not hold; and whether that of a
    /// deletion is such a condition.
    async fn transactions(&self, creation: Creation) -> Result<(bool, bool)> {
        self.put("e", "1", None).await?;
        self.put("f", "1", None).await?;
        let (e, f) = (self.living("e").await?, self.living("f").await?);
        let entry = |of: &str, model: &str, condition: (&str, String)| -> Result<serde_json::Value> {
            let resource: serde_json::Value =
                serde_json::from_str(&self.device(of, model)?).map_err(|error| unproven(error.to_string()))?;
            let (name, value) = condition;
            Ok(
                json!({"resource": resource, "request": {"method": "PUT", "url": self.key(of)?.to_string(), name: value}}),
            )
        };
        let creates = match creation {
            Creation::IfMatch => ("ifMatch", NO_VERSION.to_owned()),
            _ => ("ifNoneMatch", "*".to_owned()),
        };
        let other = VersionId::new(OTHER_VERSION).unwrap_or(VersionId::FIRST).etag();
        for condition in [("ifMatch", other.clone()), creates] {
            let entries = vec![entry("e", "2", ("ifMatch", e.etag()))?, entry("f", "2", condition)?];
            let answer = self.transaction(&entries).await?;
            if !self.refused_transaction(&answer) || self.living("e").await? != e || self.living("f").await? != f {
                return Ok((false, false));
            }
        }
        let good = [entry("e", "3", ("ifMatch", e.etag()))?, entry("f", "3", ("ifMatch", f.etag()))?];
        let answer = self.transaction(&good).await?;
        if !answer.is_success() || read(&answer)?.entry.len() != good.len() || self.living("e").await? != e.next() {
            return Ok((false, false));
        }
        let url = self.key("f")?.to_string();
        let deletion = json!({"request": {"method": "DELETE", "url": url, "ifMatch": other}});
        let answer = self.transaction(&[deletion]).await?;
        let kept = matches!(self.state("f").await?, CurrentState::Living(_));
        Ok((true, kept && self.refused_transaction(&answer)))
    }

    fn refused_transaction(&self, answer: &ServerResponse) -> bool {
        matches!(answer.status, 400 | 404 | 409 | 410 | 412 | 422 | 428)
    }

    async fn transaction(&self, entries: &[serde_json::Value]) -> Result<ServerResponse> {
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string();
        self.server.send(self.tenant, OutgoingRequest::bundle(bundle)).await
    }

    /// Deletes what was made.
    async fn tidy(&self) -> Result<()> {
        let kept = Key::new(ResourceType::DeviceComponent, format!("{}-kept", self.name).as_str())?;
        let devices =
            ["a", "b", "c", "d", "e", "f", "never"].into_iter().map(|of| self.key(of)).collect::<Result<Vec<_>>>()?;
        for key in devices.into_iter().chain([kept]) {
            if let CurrentState::Living(found) = self.server.look(self.tenant, &key).await? {
                self.server
                    .send(self.tenant, OutgoingRequest::delete(&self.server.address(&key), found.version))
                    .await?;
            }
        }
        Ok(())
    }
}

fn unproven(why: String) -> StoreError {
    ServerFault::Unproven { why }.into()
}

fn raw(json: &[u8]) -> Result<&RawValue> {
    serde_json::from_slice(json).map_err(|error| ServerFault::Unreadable { why: error.to_string() }.into())
}

/// Returns the first element of ours that is not in theirs as it was. What theirs has besides does not count: a server may
/// add elements, and items of a list.
fn lost(at: &str, ours: &RawValue, theirs: &RawValue) -> Option<String> {
    if let Ok(ours) = serde_json::from_str::<BTreeMap<String, &RawValue>>(ours.get()) {
        let theirs = serde_json::from_str::<BTreeMap<String, &RawValue>>(theirs.get()).unwrap_or_default();
        return ours.iter().find_map(|(name, ours)| {
            let at = format!("{at}.{name}");
            theirs.get(name).map_or_else(|| Some(at.clone()), |theirs| lost(&at, ours, theirs))
        });
    }
    if let Ok(ours) = serde_json::from_str::<Vec<&RawValue>>(ours.get()) {
        let theirs = serde_json::from_str::<Vec<&RawValue>>(theirs.get()).unwrap_or_default();
        let mut rest = theirs.iter();
        for (n, ours) in ours.iter().enumerate() {
            let at = format!("{at}[{n}]");
            if !rest.any(|theirs| lost(&at, ours, theirs).is_none()) {
                // Where there is one at the same place, what is lost within it says more.
                return Some(theirs.get(n).and_then(|theirs| lost(&at, ours, theirs)).unwrap_or(at));
            }
        }
        return None;
    }
    (ours.get() != theirs.get()).then(|| at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_element_is_named() {
        let lost = |ours: &str, theirs: &str| lost("X", raw(ours.as_bytes()).unwrap(), raw(theirs.as_bytes()).unwrap());
        assert_eq!(lost(r#"{"a":1.50,"b":["x"]}"#, r#"{"b":["y","x"],"a":1.50,"c":2}"#), None);
        assert_eq!(lost(r#"{"a":1.50}"#, r#"{"a":1.5}"#).as_deref(), Some("X.a"));
        assert_eq!(lost(r#"{"a":{"b":1}}"#, r#"{"a":{}}"#).as_deref(), Some("X.a.b"));
        assert_eq!(lost(r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":1},{"c":2}]}"#).as_deref(), Some("X.a[1].b"));
        assert_eq!(lost(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#).as_deref(), Some("X.a[1]"));
        assert_eq!(lost(r#"{"a":[1]}"#, r#"{"a":[]}"#).as_deref(), Some("X.a[0]"));
    }
}
