//! The requests of the clients, and the answers they got.

use super::binary::{Reply, ask};
use super::random;
use fhir_devices::store::Sha256;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const TENANTS: [&str; 2] = ["st-mary", "ward-5"];

/// Maximum size of a file. Hashing it takes a build without optimisation long.
const LARGEST: u64 = if cfg!(debug_assertions) { 1 << 20 } else { 8 << 20 };

/// A client that sends updates, one after the other, to one component.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) tenant: &'static str,
    pub(crate) device: String,
    pub(crate) number: usize,
    /// Whether it is the only client of its component, and so may use sequence numbers.
    counts: bool,
    sent: u64,
    retired: bool,
    /// The request whose outcome it does not know. It is repeated first, an upload under the same key.
    pub(crate) pending: Option<Request>,
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Upload(Upload),
    /// The withdrawal of an acknowledged upload, by its id.
    Withdrawal(String),
}

/// Whether an acknowledged upload is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    No,
    /// Requested, and not acknowledged.
    Perhaps,
    Yes,
}

#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) tenant: &'static str,
    pub(crate) component: String,
    client: usize,
    device: String,
    /// Unique among the uploads.
    pub(crate) name: String,
    seed: u64,
    size: usize,
    sequence: Option<u64>,
    /// Whether it was sent before, to a service that was killed.
    again: bool,
}

/// An acknowledged upload.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) upload: Upload,
    pub(crate) id: String,
    pub(crate) sha256: Sha256,
    pub(crate) client: usize,
    /// The service had attached it before it was killed, without an answer.
    pub(crate) replayed: bool,
    pub(crate) withdrawn: Withdrawn,
}

impl Upload {
    /// Returns the bytes: some of them are repeated, most are unique.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut state = self.seed.wrapping_mul(2).wrapping_add(1);
        let mut bytes = Vec::with_capacity(self.size + 8);
        while bytes.len() < self.size {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }

    fn form(&self, bytes: &[u8]) -> Vec<u8> {
        let mut form = Vec::with_capacity(bytes.len() + 1_000);
        let mut field = |name: &str, value: &str| {
            let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            form.extend_from_slice(part.as_bytes());
        };
        field("DeviceId", &self.device);
        field("Component", &self.component);
        if let Some(sequence) = self.sequence {
            field("Sequence", &sequence.to_string());
        }
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            self.name
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(bytes);
        form.extend_from_slice(b"\r\n--edge--\r\n");
        form
    }
}

/// Returns the clients of a round. Two share a component, and one has its own, in each tenant.
pub(crate) fn clients(round: u64) -> Vec<Client> {
    let client = |tenant, shared: bool| (tenant, format!("pump-{round}-{}", if shared { "shared" } else { "own" }));
    let all = TENANTS.iter().flat_map(|tenant| [true, true, false].map(|shared| client(*tenant, shared)));
    let all = all.enumerate().map(|(at, (tenant, device))| {
        let counts = device.ends_with("own");
        Client { tenant, device, number: at, counts, sent: round << 32, retired: false, pending: None }
    });
    all.collect()
}

/// Creates the devices of the clients.
pub(crate) fn make_devices(address: &str, clients: &[Client]) {
    for Client { tenant, device, .. } in clients {
        let part = format!(
            r#"{{"resourceType":"DeviceComponent","id":"{device}-mds","identifier":{{"value":"1"}},"type":{{"text":"pump"}},"source":{{"reference":"Device/{device}"}}}}"#
        );
        let whole = format!(r#"{{"resourceType":"Device","id":"{device}"}}"#);
        for (path, body) in [(format!("Device/{device}"), whole), (format!("DeviceComponent/{device}-mds"), part)] {
            let kind = "Content-Type: application/fhir+json\r\n";
            let reply = ask(address, "PUT", &format!("/{tenant}/fhir/{path}"), kind, body.as_bytes()).unwrap();
            assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        }
    }
}

impl Client {
    pub(crate) fn retired(self) -> Self {
        Self { retired: true, ..self }
    }

    fn upload(&mut self) -> Upload {
        self.sent += 1;
        let size = match random(20) {
            0 => 1 + random(LARGEST),
            1..3 => 1 + random(300_000),
            3..8 => 1 + random(60_000),
            _ => 1 + random(2_000),
        };
        let (seed, size) = if random(8) == 0 {
            (random(3), 5_000)
        } else {
            ((self.number as u64) << 60 | self.sent << 4 | 8, usize::try_from(size).unwrap())
        };
        Upload {
            tenant: self.tenant,
            component: format!("{}-mds", self.device),
            client: self.number,
            device: self.device.clone(),
            name: format!("{}-{:x}.bin", self.number, self.sent),
            seed,
            size,
            sequence: self.counts.then_some(self.sent),
            again: false,
        }
    }

    fn next(&mut self) -> Request {
        match self.pending.take() {
            Some(Request::Upload(upload)) => Request::Upload(Upload { again: true, ..upload }),
            Some(withdrawal) => withdrawal,
            None => Request::Upload(self.upload()),
        }
    }

    /// Sends until the service is gone, or the client has its answer and is retired.
    pub(crate) fn run(&mut self, address: &str, told: &Mutex<Vec<Acknowledged>>, gone: &AtomicBool) {
        while !self.retired || self.pending.is_some() {
            let request = self.next();
            let sent = match &request {
                Request::Upload(upload) => self.send(address, upload, told),
                Request::Withdrawal(id) => self.withdraw(address, id, told),
            };
            match sent {
                Ok(true) => {}
                // Others wrote to the component each time.
                Ok(false) => self.pending = Some(request),
                // A service that is killed says nothing more; one that is not shall not break off.
                Err(error) => {
                    assert!(gone.load(Ordering::SeqCst), "the service broke off, and was not killed: {error}");
                    self.pending = Some(request);
                    return;
                }
            }
        }
    }

    /// Returns whether the upload was accepted; `false` where it must be repeated.
    fn send(&mut self, address: &str, upload: &Upload, told: &Mutex<Vec<Acknowledged>>) -> io::Result<bool> {
        let bytes = upload.bytes();
        let headers = format!(
            "Content-Type: multipart/form-data; boundary=edge\r\nIdempotency-Key: {}/{}\r\n",
            upload.tenant, upload.name
        );
        let reply = ask(address, "POST", &format!("/{}/updates", upload.tenant), &headers, &upload.form(&bytes))?;
        match reply.status {
            200 | 201 => {
                let mut acknowledged = acknowledged(upload.clone(), &bytes, &reply);
                if random(8) == 0 {
                    acknowledged.withdrawn = Withdrawn::Perhaps;
                    self.pending = Some(Request::Withdrawal(acknowledged.id.clone()));
                }
                told.lock().unwrap().push(acknowledged);
                Ok(true)
            }
            503 => Ok(false),
            status => panic!("{status}: {}", reply.text()),
        }
    }

    fn withdraw(&self, address: &str, id: &str, told: &Mutex<Vec<Acknowledged>>) -> io::Result<bool> {
        let path = format!("/{}/updates/{id}?reason=recalled", self.tenant);
        let reply = ask(address, "DELETE", &path, "", b"")?;
        // Where the component is written to all the time, it is withdrawn for good, and taken out of there later.
        assert!(matches!(reply.status, 200 | 202), "{}: {}", reply.status, reply.text());
        let mut told = told.lock().unwrap();
        told.iter_mut().find(|one| one.id == id).unwrap().withdrawn = Withdrawn::Yes;
        Ok(true)
    }
}

fn acknowledged(upload: Upload, bytes: &[u8], reply: &Reply) -> Acknowledged {
    let link = reply.header("link").unwrap();
    let id = link.split_once("/updates/").and_then(|(_, rest)| rest.split('>').next()).unwrap().to_owned();
    let replayed = reply.status == 200;
    // The first answer to a request that was never sent before says that it is new.
    assert!(upload.again || !replayed, "{}", upload.name);
    Acknowledged { client: upload.client, sha256: Sha256::of(bytes), id, replayed, withdrawn: Withdrawn::No, upload }
}
