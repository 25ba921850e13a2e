//! A minimal HTTP client in which tests control every byte of a request.

use fhir_devices::server::{self, Stores, UpdateServer};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running service. It ends with the runtime of the test.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks that this is an outcome with a status, and returns the rule and the text of its first issue.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/fhir+json; charset=utf-8"));
        fhir_devices::OperationOutcome::from_json(&self.body).unwrap();
        let issue = &self.json()["issue"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&issue["details"]["coding"][0]["code"]), text(&issue["diagnostics"]))
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(|base| {
            UpdateServer::over(Stores::in_memory(server::DEFAULT_MAX_UPLOAD), base, server::DEFAULT_MAX_UPLOAD).unwrap()
        })
        .await
    }

    pub(crate) async fn with(app: impl FnOnce(&str) -> UpdateServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Arc::new(app(&format!("http://{address}")));
        server::fill_demo(&app).await.unwrap();
        tokio::spawn(server::accept(listener, None, app, std::future::pending()));
        Self { address }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        let head = self.head(method, path, headers, &format!("Content-Length: {}", body.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        reply(stream, method).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = [headers, &[("Content-Type", "application/fhir+json")]].concat();
        self.send(method, path, &headers, body.as_bytes()).await
    }

    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], length: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{length}\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    pub(crate) async fn upload(&self, tenant: &str, headers: &[(&str, &str)], form: &Form) -> Reply {
        let headers = [headers, &[("Content-Type", Form::TYPE)]].concat();
        self.send("POST", &format!("/{tenant}/updates"), &headers, &form.end()).await
    }
}

/// Reads a whole answer.
pub(crate) async fn reply(mut stream: TcpStream, method: &str) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    parsed(bytes, method)
}

pub(crate) fn parsed(mut bytes: Vec<u8>, method: &str) -> Reply {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply { status, head, body };
    if reply.header("transfer-encoding") == Some("chunked") && method != "HEAD" {
        reply.body = unchunk(&reply.body);
    }
    reply
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A form, with its parts in the order given.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    pub(crate) const TYPE: &str = "multipart/form-data; boundary=edge";

    pub(crate) fn of(device: &str) -> Self {
        Self::default().field("DeviceId", device)
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        self.0.extend_from_slice(part.as_bytes());
        self
    }

    pub(crate) fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(Self::file_head(name).as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn file_head(name: &str) -> String {
        Self::head_of(name, Some("application/octet-stream"))
    }

    fn head_of(name: &str, kind: Option<&str>) -> String {
        let kind = kind.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
        format!("--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n{kind}\r\n")
    }

    /// Adds a file of a type, or without a stated type.
    pub(crate) fn file_of(mut self, kind: Option<&str>, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(Self::head_of("a.bin", kind).as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn end(&self) -> Vec<u8> {
        [&self.0, &b"--edge--\r\n"[..]].concat()
    }
}
