//! A stand-in for Azure IoT Hub: its REST interface for twins over TLS, with the rules that its documentation gives: shared access
//! signatures, etags, merged changes, limits of size and form, throttling, queries by pages.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const POLICY: &str = "service";
const KEY: &[u8] = b"the key of the policy";

#[derive(Clone, Default)]
struct Twin {
    version: u64,
    desired: Map<String, Value>,
    reported: Map<String, Value>,
}

impl Twin {
    fn etag(&self) -> String {
        BASE64_STANDARD.encode(self.version.to_be_bytes())
    }

    fn shown(&self, id: &str) -> Value {
        json!({
            "deviceId": id, "etag": self.etag(), "version": self.version,
            "properties": { "desired": self.desired, "reported": self.reported },
        })
    }
}

pub(crate) struct Hub {
    pub(crate) port: u16,
    twins: Mutex<BTreeMap<String, Twin>>,
    /// Whether a device that is asked for is made.
    makes_devices: bool,
    /// How many requests are throttled, and how many changes are made whose answer is lost.
    pub(crate) throttle: AtomicUsize,
    pub(crate) lose: AtomicUsize,
    pub(crate) requests: Mutex<Vec<(String, String)>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

type Answer = (u16, Vec<(&'static str, String)>, Value);

fn refusal(status: u16, code: &str) -> Answer {
    (status, Vec::new(), json!({ "Message": format!("ErrorCode:{code};a stand-in says so") }))
}

fn takes_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

/// Merges a patch: `null` deletes, an object is merged, and everything else takes the place of what there is.
fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (into.get_mut(key), value) {
            (_, Value::Null) => drop(into.remove(key)),
            (Some(Value::Object(into)), Value::Object(patch)) => merge(into, patch),
            (_, Value::Object(patch)) => {
                let mut made = Map::new();
                merge(&mut made, patch);
                into.insert(key.clone(), made.into());
            }
            (_, value) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// What a hub refuses in a twin.
fn wrong(value: &Value, depth: usize) -> Option<&'static str> {
    match value {
        Value::Object(members) => {
            let bad_key = |key: &String| {
                key.len() > 1_024
                    || key.is_empty()
                    || key.chars().any(|c| c.is_control() || matches!(c, '.' | '$' | ' '))
            };
            if depth > 10 {
                Some("it is more than 10 deep")
            } else if members.keys().any(bad_key) {
                Some("a key has a character that it must not have")
            } else {
                members.values().find_map(|value| wrong(value, depth + 1))
            }
        }
        Value::Array(items) => items.iter().find_map(|value| wrong(value, depth + 1)),
        Value::String(text) if text.len() > 4_096 => Some("a text is longer than 4 KB"),
        Value::Number(number) => match number.as_i64() {
            Some(whole) if whole.unsigned_abs() > 4_503_599_627_370_495 => Some("a number is too large"),
            None if !number.is_f64() => Some("a number is too large"),
            _ => None,
        },
        _ => None,
    }
}

impl Hub {
    pub(crate) fn start(makes_devices: bool) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            twins: Mutex::default(),
            makes_devices,
            throttle: AtomicUsize::new(0),
            lose: AtomicUsize::new(0),
            requests: Mutex::default(),
        });
        let file = |name: &str| format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"));
        let chain = CertificateDer::pem_file_iter(file("certificate.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (config, serving) = (Arc::new(config), Arc::clone(&hub));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, hub) = (Arc::clone(&config), Arc::clone(&serving));
                std::thread::spawn(move || hub.serve(stream, config));
            }
        });
        hub
    }

    pub(crate) fn connection_string(&self) -> String {
        let key = BASE64_STANDARD.encode(KEY);
        format!("HostName=localhost:{};SharedAccessKeyName={POLICY};SharedAccessKey={key}", self.port)
    }

    pub(crate) fn make_device(&self, id: &str) {
        self.twins.lock().unwrap().entry(id.to_owned()).or_default().version += 1;
    }

    /// A device, or another service, changes a section of a twin.
    pub(crate) fn change(&self, id: &str, section: &str, patch: &Value) {
        let mut twins = self.twins.lock().unwrap();
        let twin = twins.get_mut(id).unwrap();
        let into = if section == "reported" { &mut twin.reported } else { &mut twin.desired };
        merge(into, patch.as_object().unwrap());
        twin.version += 1;
    }

    pub(crate) fn desired(&self, id: &str) -> Value {
        self.twins.lock().unwrap()[id].desired.clone().into()
    }

    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let Ok(connection) = ServerConnection::new(config) else { return };
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        while let Some(request) = read(&mut stream) {
            let before: Vec<u64> = self.twins.lock().unwrap().values().map(|twin| twin.version).collect();
            let (status, headers, body) = self.answer(&request);
            let changed = self.twins.lock().unwrap().values().map(|twin| twin.version).ne(before);
            if request.method == "PATCH" && changed && takes_one(&self.lose) {
                return;
            }
            let body = body.to_string();
            let mut text = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                text += &format!("{name}: {value}\r\n");
            }
            if stream.get_mut().write_all(format!("{text}\r\n{body}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        self.requests.lock().unwrap().push((request.method.clone(), request.path.clone()));
        if !self.is_signed(request.headers.get("authorization").map(String::as_str).unwrap_or_default()) {
            return refusal(401, "IotHubUnauthorizedAccess");
        }
        if takes_one(&self.throttle) {
            let (status, _, body) = refusal(429, "ThrottlingException");
            return (status, vec![("retry-after", "7".to_owned())], body);
        }
        let Some((path, "api-version=2021-04-12")) = request.path.split_once('?') else {
            return refusal(400, "InvalidProtocolVersion");
        };
        match (request.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            (method @ ("GET" | "PATCH"), ["", "twins", id]) => {
                let id = percent_decode_str(id).decode_utf8().unwrap();
                self.twin(method == "PATCH", &id, request)
            }
            ("POST", ["", "devices", "query"]) => self.query(request),
            _ => refusal(404, "NotFound"),
        }
    }

    fn twin(&self, changes: bool, id: &str, request: &Request) -> Answer {
        let mut twins = self.twins.lock().unwrap();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.%_*?!(),:=@$'".contains(c);
        if id.len() > 128 || !id.chars().all(allowed) {
            return refusal(400, "ArgumentInvalid");
        }
        if self.makes_devices && !twins.contains_key(id) {
            twins.insert(id.to_owned(), Twin { version: 1, ..Twin::default() });
        }
        let Some(twin) = twins.get_mut(id) else { return refusal(404, "DeviceNotFound") };
        if changes {
            let wanted = request.headers.get("if-match").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
            if wanted.is_some_and(|wanted| wanted != "*" && wanted != twin.etag()) {
                return refusal(412, "PreconditionFailed");
            }
            let Ok(patch) = serde_json::from_slice::<Value>(&request.body) else {
                return refusal(400, "ArgumentInvalid");
            };
            let desired = patch["properties"]["desired"].as_object().cloned().unwrap_or_default();
            if let Some(why) = wrong(&desired.clone().into(), 0) {
                return refusal(400, &format!("ArgumentInvalid;{why}"));
            }
            let mut next = twin.desired.clone();
            merge(&mut next, &desired);
            if Value::from(next.clone()).to_string().len() > 32 << 10 {
                return refusal(413, "RequestEntityTooLarge");
            }
            twin.desired = next;
            twin.version += 1;
        }
        (200, vec![("etag", format!("\"{}\"", twin.etag()))], twin.shown(id))
    }

    fn query(&self, request: &Request) -> Answer {
        let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else { return refusal(400, "ArgumentInvalid") };
        let query = asked["query"].as_str().unwrap_or_default();
        let rest = "SELECT deviceId, properties.reported.fhirUpdate AS section FROM devices WHERE deviceId IN [";
        let Some(names) = query.strip_prefix(rest).and_then(|names| names.strip_suffix(']')) else {
            return refusal(400, "ArgumentInvalid");
        };
        let names: Vec<_> = names.split(", ").map(|name| name.trim_matches('\'')).collect();
        let page: usize = request.headers.get("x-ms-continuation").and_then(|page| page.parse().ok()).unwrap_or(0);
        // Fewer than were asked for, as a hub may.
        let size = request.headers["x-ms-max-item-count"].parse::<usize>().unwrap().min(3);
        let twins = self.twins.lock().unwrap();
        let found: Vec<_> = twins.iter().filter(|(id, _)| names.contains(&id.as_str())).collect();
        let shown = |(id, twin): &(&String, &Twin)| match twin.reported.get("fhirUpdate") {
            Some(section) => json!({ "deviceId": id, "section": section }),
            None => json!({ "deviceId": id }),
        };
        let items: Vec<_> = found.iter().skip(page).take(size).map(shown).collect();
        let next = page + size;
        let headers = if next < found.len() { vec![("x-ms-continuation", next.to_string())] } else { Vec::new() };
        (200, headers, items.into())
    }

    /// Whether a signature is of the hub's name, with the key of its policy, and has not ended.
    fn is_signed(&self, token: &str) -> bool {
        let Some(fields) = token.strip_prefix("SharedAccessSignature ") else { return false };
        let fields: HashMap<_, _> = fields.split('&').filter_map(|field| field.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).unwrap();
        mac.update(format!("{}\n{}", field("sr"), field("se")).as_bytes());
        let wanted = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        percent_decode_str(field("sig")).decode_utf8().unwrap() == wanted
            && field("sr") == "localhost"
            && field("skn") == POLICY
            && field("se").parse::<u64>().is_ok_and(|end| end > now && end <= now + 24 * 3_600)
    }
}

fn read(stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>) -> Option<Request> {
    let mut line = String::new();
    let mut next = |stream: &mut BufReader<_>| {
        line.clear();
        let read = BufReader::read_line(stream, &mut line).ok().filter(|read| *read > 0);
        read.map(|_| line.trim_end().to_owned())
    };
    let first = next(stream)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let header = next(stream)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
