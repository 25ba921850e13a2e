//! The service as a process: its signals, its file descriptors, its exit statuses, and its log.

use super::binary;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A service in memory with the demo fleet.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    /// Starts the service in a shell, after the commands in `before`.
    pub(super) fn start(before: &str, arguments: &str) -> Self {
        let command = format!("{before} exec '{}' --listen 127.0.0.1:0 {arguments}", binary::build().display());
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", &command]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the service listens").to_owned();
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Returns the status of a `GET`.
    pub(super) fn get(&self, path: &str, token: &str) -> u16 {
        let headers = format!("Authorization: Bearer {token}\r\n");
        binary::ask(&self.address, "GET", path, &headers, b"").unwrap().status
    }

    /// Asks the service to end, and returns its exit status and its log.
    pub(super) fn end(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits until the service ends, and returns its exit status and its log.
    pub(super) fn ended(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("fhir-devices-operation-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

pub(super) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sighup_does_not_stop_the_service() {
    let service = Process::start("", "");
    for _ in 0..3 {
        service.signal("-HUP");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(service.get("/healthz", ""), 200);
    }
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn sighup_or_file_change_revokes_a_token() {
    let tokens = file("tokens", "first-long-token-1 *\n");
    let service = Process::start("", &format!("--tokens '{}'", tokens.display()));
    let path = "/demo/fhir/Device/infusion-pump-7";
    assert_eq!(service.get(path, "first-long-token-1"), 200);
    std::fs::write(&tokens, "other-long-token-1 *\n").unwrap();
    service.signal("-HUP");
    eventually("it is read again", || service.get(path, "first-long-token-1") == 401);
    assert_eq!(service.get(path, "other-long-token-1"), 200);
    std::fs::write(&tokens, "third-long-token-1 *\n").unwrap();
    eventually("the change is seen", || service.get(path, "third-long-token-1") == 200);
    std::fs::write(&tokens, "broken\n").unwrap();
    service.signal("-HUP");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(service.get(path, "third-long-token-1"), 200);
    let (status, log) = service.end();
    std::fs::remove_file(&tokens).unwrap();
    assert_eq!(status, Some(0));
    assert!(log.contains("ERROR") && log.contains("line 1: a token and its tenants are wanted"), "{log}");
}

#[test]
fn wrong_tokens_are_logged_within_a_limit() {
    let tokens = file("wrong", "first-long-token-1 *\n");
    let service = Process::start("", &format!("--tokens '{}'", tokens.display()));
    std::thread::scope(|scope| {
        for client in 0..20 {
            let service = &service;
            scope.spawn(move || {
                for number in 0..150 {
                    let status = service.get("/demo/fhir/Device", &format!("wrong-token-{client}-{number}"));
                    assert!(matches!(status, 401 | 429), "{status}");
                }
            });
        }
    });
    eventually("a good token works", || service.get("/demo/fhir/Device", "first-long-token-1") == 200);
    let (_, log) = service.end();
    std::fs::remove_file(&tokens).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("sign-ins failed")).collect();
    assert!(!lines.is_empty() && lines.len() < 50, "{log}");
    assert!(lines.iter().all(|line| line.contains("127.0.0.1") && line.contains("failures=")), "{log}");
    let counted = |line: &&str| -> u64 { line.split("failures=").nth(1).unwrap().trim().parse().unwrap() };
    assert_eq!(lines.iter().map(counted).sum::<u64>(), 3_000, "{log}");
    assert!(!log.contains("wrong-token"), "{log}");
}

#[test]
fn half_open_connections_do_not_block_64_descriptors() {
    let service = Process::start("ulimit -n 64;", "");
    for sent in ["", "GET /demo/fhir/Device HTTP/1.1\r\nHost: loc"] {
        let mut open = Vec::new();
        for _ in 0..90 {
            let mut stream = TcpStream::connect(&service.address).unwrap();
            drop(stream.write_all(sent.as_bytes()));
            open.push(stream);
        }
        for path in ["/healthz", "/readyz", "/demo/fhir/Device/infusion-pump-7"] {
            assert_eq!(service.get(path, ""), 200, "{path}");
        }
    }
    let body = "PUT /demo/fhir/Device/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{";
    let mut open = Vec::new();
    for _ in 0..90 {
        let mut stream = TcpStream::connect(&service.address).unwrap();
        drop(stream.write_all(body.as_bytes()));
        open.push(stream);
    }
    assert_eq!(service.get("/healthz", ""), 200);
    // Bodies that do not come make room after two seconds.
    eventually("others are answered", || service.get("/demo/fhir/Device/infusion-pump-7", "") == 200);
}

#[test]
fn failed_start_explains_and_exits_with_2() {
    for (before, arguments, why) in [
        ("", "--colour", "`--colour` is not known"),
        ("", "--listen 0.0.0.0:0 --tls-cert c --tls-key k --tokens t", "--base-url"),
        ("", "--tokens /nowhere/tokens", "/nowhere/tokens"),
        (
            "",
            "--fhir https://fhir.example/stu3",
            "`--fhir https://fhir.example/stu3`: it does not say where the tenant goes",
        ),
        ("", "--fhir https://u:secret@fhir.example/{tenant}", "`--fhir fhir.example/{tenant}`: wanted http or https"),
        ("", "--fhir-token /nowhere/token", "go with `--fhir`"),
        ("ulimit -n 20;", "", "ulimit -n"),
        ("ulimit -n 64;", "--max-connections 60", "--max-connections 60"),
    ] {
        let command = format!("{before} exec '{}' --listen 127.0.0.1:0 {arguments}", binary::build().display());
        let ended = Command::new("sh").args(["-c", &command]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && ended.stdout.is_empty(), "{said}");
    }
}

#[test]
fn truncated_store_stops_the_start_without_a_panic() {
    let folder = super::Folder(std::env::temp_dir().join(format!("fhir-devices-cut-{}", std::process::id())));
    let is_alive = || {
        let service = binary::Service::start(&binary::build(), &folder.0);
        assert_eq!(binary::ask(service.address(), "GET", "/readyz", "", b"").unwrap().status, 200);
        service.stop();
    };
    is_alive();
    let path = folder.0.join("resources.redb");
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 4_096, 100, 20] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut command = Command::new(binary::build());
        let output = command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&folder.0).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{length}: {said}");
        assert!(said.contains("resources.redb") && said.contains("restore it from a backup"), "{length}: {said}");
        assert!(!said.contains("panicked") && said.lines().count() == 1, "{length}: {said}");
    }
    std::fs::write(&path, &whole).unwrap();
    is_alive();
}
