//! A proxy between a client and the service: it records requests and answers, loses answers, and changes bytes.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
    pub(crate) status: u16,
}

/// The fate of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The client gets it.
    Deliver,
    /// The connection ends instead.
    Lose,
    /// The client gets other bytes of the same length.
    Corrupt,
}

type Before = dyn Fn(&str, &str) + Send + Sync;
type After = dyn Fn(&Exchange) -> Fate + Send + Sync;

pub(crate) struct Proxy {
    pub(crate) address: String,
    target: Arc<Mutex<String>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Proxy {
    /// `before` sees the method and the path of a request before the service does, and `after` decides about its
    /// answer.
    pub(crate) fn start(
        before: impl Fn(&str, &str) + Send + Sync + 'static,
        after: impl Fn(&Exchange) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (target, exchanges) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<Vec<Exchange>>>::default());
        let (before, after): (Arc<Before>, Arc<After>) = (Arc::new(before), Arc::new(after));
        let shared = (Arc::clone(&target), Arc::clone(&exchanges));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, exchanges) = shared.clone();
                let (before, after) = (Arc::clone(&before), Arc::clone(&after));
                std::thread::spawn(move || relay(client, &target, &exchanges, (before.as_ref(), after.as_ref())));
            }
        });
        Self { address, target, exchanges }
    }

    /// Forwards requests to a service from now on.
    pub(crate) fn to(&self, service: &str) {
        service.clone_into(&mut self.target.lock().unwrap());
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap().clone()
    }

    /// Returns the conversation, one exchange per line, without data that differs from run to run (times, and the lines
    /// of a log); an exchange that repeats the last is left out.
    pub(crate) fn conversation(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for exchange in self.exchanges() {
            let path = exchange.path.split('?').next().unwrap_or_default();
            let path = match path.split('/').nth(2) {
                Some("offers") => "offers",
                Some("controller") => path,
                _ => continue,
            };
            let mut body: Value = serde_json::from_str(&exchange.body).unwrap_or_default();
            body.as_object_mut().and_then(|body| body.remove("time"));
            body.pointer_mut("/status").and_then(Value::as_object_mut).and_then(|status| status.remove("details"));
            let line = json!({ "method": exchange.method, "path": path, "body": body, "status": exchange.status });
            let line = line.to_string();
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        lines.join("\n") + "\n"
    }
}

fn relay(mut client: TcpStream, target: &Mutex<String>, exchanges: &Mutex<Vec<Exchange>>, hooks: (&Before, &After)) {
    let (before, after) = hooks;
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let Some((head, body)) = message(&mut client) else { return };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    before(method, path);
    let mut lines: Vec<&str> =
        head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
    lines.retain(|line| !line.is_empty());
    let head = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
    let service = target.lock().unwrap().clone();
    let Ok(mut stream) = TcpStream::connect(&service) else { return };
    let (mut answer, sent) = (Vec::new(), [head.as_bytes(), &body].concat());
    if stream.write_all(&sent).is_err() || stream.read_to_end(&mut answer).is_err() || answer.is_empty() {
        return;
    }
    // A client that asks whether it may send its body is told so first.
    let interim = answer.starts_with(b"HTTP/1.1 100").then(|| answer.windows(4).position(|four| four == b"\r\n\r\n"));
    let last = &answer[interim.flatten().map_or(0, |end| end + 4)..];
    let status = last.split(|byte| *byte == b' ').nth(1).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let authorization = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    let exchange = Exchange {
        method: method.to_owned(),
        path: path.to_owned(),
        authorization,
        body: String::from_utf8_lossy(&body).into_owned(),
        status: status.unwrap_or_default(),
    };
    exchanges.lock().unwrap().push(exchange.clone());
    match after(&exchange) {
        Fate::Deliver => {}
        Fate::Lose => return,
        Fate::Corrupt => {
            // In the file that is installed, as what fills the archive up is not looked at.
            let words = b"firmware";
            if let Some(at) = answer.windows(words.len()).rposition(|part| part == words) {
                answer[at] ^= 1;
            }
        }
    }
    drop(client.write_all(&answer));
}

/// Reads the head and the body of a request.
fn message(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let mut body = bytes.split_off(end + 4);
            while body.len() < length.unwrap_or(0) {
                let read = client.read(&mut part).ok().filter(|read| *read > 0)?;
                body.extend_from_slice(&part[..read]);
            }
            return Some((head, body));
        }
        let read = client.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    }
}
