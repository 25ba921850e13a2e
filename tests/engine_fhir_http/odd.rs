//! A server that answers what a test tells it to, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// `PUT /ward/Device/p`
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// An answer: a status with headers and a body, or raw bytes.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes, and then the end of the connection.
    Bytes(Vec<u8>),
    /// No answer while the client waits.
    Nothing,
}

pub(crate) fn say(status: u16, body: impl Into<String>) -> Say {
    Say::Answer(status, vec![("Content-Type", "application/fhir+json".into())], body.into().into_bytes())
}

pub(crate) fn html(status: u16) -> Say {
    let page = "<html><body>Sorry</body></html>";
    Say::Answer(status, vec![("Content-Type", "text/html; charset=utf-8".into())], page.into())
}

impl Say {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value.into()));
        }
        self
    }

    fn bytes(&self, cut: usize) -> Vec<u8> {
        match self {
            Self::Answer(status, headers, body) => {
                let mut head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                let body = &body[..body.len() - cut.min(body.len())];
                [head.as_bytes(), b"\r\n", body].concat()
            }
            Self::Bytes(bytes) => bytes.clone(),
            Self::Nothing => Vec::new(),
        }
    }

    /// Returns the answer without its last bytes.
    pub(crate) fn torn(&self) -> Self {
        Self::Bytes(self.bytes(7))
    }
}

/// A running server. It ends with the runtime of the test.
pub(crate) struct Odd {
    pub(crate) address: SocketAddr,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
}

impl Odd {
    /// Starts a server that answers each request by its line.
    pub(crate) async fn start(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&heard), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move { drop(answer(stream, &log, &*script).await) });
            }
        });
        Self { address, heard }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|heard| heard.line.clone()).collect()
    }
}

/// Reads one request and answers it.
pub(crate) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Heard>>,
    script: &(dyn Fn(&Heard) -> Say + Send + Sync),
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (method, rest) = head.split_once(' ').unwrap();
    let line = format!("{method} {}", rest.split(' ').next().unwrap());
    let mut heard = Heard { line, head: head.clone(), body: String::new() };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await?;
    }
    heard.body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    log.lock().unwrap().push(heard.clone());
    let said = script(&heard);
    if matches!(said, Say::Nothing) {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    stream.write_all(&said.bytes(0)).await?;
    stream.shutdown().await
}
