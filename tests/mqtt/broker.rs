//! A broker for the tests: mosquitto, where it is installed.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// A broker of its own. It ends, and its data is removed, when this is dropped.
pub(crate) struct Broker {
    pub(crate) port: u16,
    /// The port for TLS, at which clients show a certificate.
    pub(crate) tls_port: u16,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let all = folders.unwrap_or_default().into_iter().chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    all.map(|folder| folder.join("mosquitto")).find(|program| program.is_file())
}

impl Broker {
    /// Starts one; why there is none. Where the gate provides one, the test fails instead of being skipped.
    pub(crate) fn start() -> Result<Self, String> {
        let required = std::env::var_os("FHIR_DEVICES_REQUIRE_MQTT").is_some();
        assert!(program().is_some() || !required, "mosquitto is required");
        program().ok_or("mosquitto is not installed")?;
        let (port, tls_port) = (free_port(), free_port());
        let folder = std::env::temp_dir().join(format!("fhir-devices-mqtt-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        let (at, tls) = (folder.display(), tls.display());
        // It keeps what it is told, as one in use does, and saves it every half hour.
        let mut settings = format!(
            "per_listener_settings false\nallow_anonymous true\npersistence true\npersistence_location {at}/\n\
             log_dest file {at}/log\nmax_queued_messages 1000\nacl_file {at}/rules\n\
             listener {port} 127.0.0.1\n\
             listener {tls_port} 127.0.0.1\ncertfile {tls}/certificate.pem\nkeyfile {tls}/key.pem\n\
             cafile {tls}/client.pem\nrequire_certificate true\n"
        );
        if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n")) {
            settings.push_str("user root\n");
        }
        std::fs::write(
            folder.join("rules"),
            "topic readwrite #\n\nuser forbidden\ntopic read #\ntopic readwrite fd/+/+/ready\n",
        )
        .unwrap();
        std::fs::write(folder.join("settings"), settings).unwrap();
        let broker = Self { port, tls_port, folder, process: Mutex::default() };
        broker.boot();
        Ok(broker)
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Starts it again after it was killed.
    pub(crate) fn boot(&self) {
        let program = program().unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.join("settings"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.process.lock().unwrap() = Some(command.spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// Ends it, and removes its data, when this process has ended.
    #[allow(clippy::zombie_processes, reason = "it outlives this process")]
    pub(crate) fn end_with_this_process(&self) {
        let id = self.process.lock().unwrap().as_ref().unwrap().id();
        let (own, folder) = (std::process::id(), &self.folder);
        let script = format!("while kill -0 {own} 2>/dev/null; do sleep 1; done; kill {id}; rm -rf {folder:?}");
        let mut watch = Command::new("sh");
        watch.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        watch.spawn().unwrap();
    }

    /// Asks it to end: it saves what it has.
    #[allow(dead_code, reason = "not every test ends it in order")]
    pub(crate) fn stop(&self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        Command::new("kill").arg(process.id().to_string()).status().unwrap();
        process.wait().unwrap();
    }

    /// `kill -9`: what it has not saved is lost.
    #[allow(dead_code, reason = "not every test kills it")]
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            drop(process.kill());
            drop(process.wait());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
