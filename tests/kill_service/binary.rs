//! The example `update_service` as a process, and a minimal HTTP client to load it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../common/example.rs"]
mod example;

/// Builds the binary of the service.
pub(crate) fn build() -> PathBuf {
    example::build("update_service")
}

/// A running service, killed on drop.
pub(crate) struct Service {
    child: Child,
    address: String,
    /// The time from the start until it listened.
    pub(crate) started: Duration,
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Service {
    pub(crate) fn start(binary: &Path, data: &Path) -> Self {
        // What was acknowledged is looked for.
        Self::start_with(binary, data, &["--keep-superseded", "1000000"])
    }

    /// Starts the service with further options.
    pub(crate) fn start_with(binary: &Path, data: &Path, options: &[&str]) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--base-url", "http://updates.example", "--no-demo", "--log", "error"])
            .args(options)
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the service listens").to_owned();
        Self { child, address, started: begun.elapsed() }
    }

    /// Starts the service, and kills it after a while.
    pub(crate) fn start_in_vain(binary: &Path, data: &Path, lives: Duration) {
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--no-demo", "--log", "error", "--data"]).arg(data);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(lives);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process id.
    #[allow(dead_code, reason = "one of the tests that start the service measures it")]
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the service to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        assert!(self.child.wait().unwrap().success(), "the service does not stop in order");
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request over a connection of its own, and reads the whole answer. An answer that breaks off is an error.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
    let broken = |why: &str| io::Error::new(io::ErrorKind::UnexpectedEof, why);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| broken("no answer"))?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).map_err(|_| broken("no text"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
    let reply = Reply { status, head, body };
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if length.is_none_or(|length| length == reply.body.len()) { Ok(reply) } else { Err(broken("half an answer")) }
}
