//! A PostgreSQL server for the tests: that of `FHIR_DEVICES_POSTGRES`, or a new one from the binaries of this machine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server, and how to reach it. A server of the tests is stopped, and its data removed, on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    own: Option<Own>,
}

struct Own {
    binaries: PathBuf,
    data: PathBuf,
    port: u16,
    settings: String,
}

impl Server {
    /// Returns the server of the environment, or a new one; the error says why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        match std::env::var("FHIR_DEVICES_POSTGRES") {
            Ok(url) => Ok(Self { url, own: None }),
            Err(_) => Self::start_own(&["-c fsync=off"]),
        }
    }

    /// Starts a new server with these settings, which may be killed. Where the gate provides one, the test fails
    /// instead of being skipped.
    pub(crate) fn start_own(settings: &[&str]) -> Result<Self, String> {
        let started = Self::try_to_start(settings);
        let required = std::env::var_os("FHIR_DEVICES_REQUIRE_ENGINES").is_some();
        assert!(started.is_ok() || !required, "a PostgreSQL server is required: {:?}", started.err());
        started
    }

    fn try_to_start(settings: &[&str]) -> Result<Self, String> {
        let binaries = binaries().ok_or("FHIR_DEVICES_POSTGRES is not set, and no PostgreSQL server is installed")?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map_err(|e| e.to_string())?.port();
        let data = std::env::temp_dir().join(format!("fhir-devices-pg-{}-{port}", std::process::id()));
        std::fs::create_dir(&data).map_err(|error| error.to_string())?;
        let own = Own { binaries, data, port, settings: settings.join(" ") };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&own.data))?;
        }
        run(own.command("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"]))?;
        own.boot()?;
        let url = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
        Ok(Self { url, own: Some(own) })
    }

    /// Keeps the server running as long as this process: a `static` is never dropped.
    #[allow(dead_code, reason = "a server may have an owner")]
    pub(crate) fn shared() -> Result<Self, String> {
        let server = Self::start()?;
        if let Some(own) = &server.own {
            let script = format!(
                "while kill -0 {} 2>/dev/null; do sleep 1; done; {:?}; rm -rf {:?}",
                std::process::id(),
                own.command("pg_ctl").args(["-m", "immediate", "-s", "stop"]),
                own.data
            );
            let mut watch = Command::new("sh");
            watch.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            watch.spawn().map_err(|error| error.to_string())?;
        }
        Ok(server)
    }

    /// `kill -9` of the server and of all its processes, as when the machine loses them.
    #[allow(dead_code, reason = "not every test kills its server")]
    pub(crate) fn kill(&self) -> Result<(), String> {
        let own = self.own.as_ref().ok_or("a server of others is not killed")?;
        let pid = std::fs::read_to_string(own.data.join("postmaster.pid")).map_err(|error| error.to_string())?;
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        // The children first, which the postmaster would otherwise end in order.
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().map_err(|e| e.to_string())?;
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        let all = std::iter::once(pid.as_str()).chain(children.split_whitespace());
        run(Command::new("kill").arg("-9").args(all))
    }

    /// Starts the server again after it was killed.
    #[allow(dead_code, reason = "not every test kills its server")]
    pub(crate) fn boot(&self) -> Result<(), String> {
        let own = self.own.as_ref().ok_or("a server of others is not started")?;
        // While one of its processes is still dying, the next server does not start.
        let mut tries = 0;
        loop {
            match own.boot() {
                Err(_) if tries < 50 => std::thread::sleep(std::time::Duration::from_millis(50)),
                Err(error) => {
                    let log = std::fs::read_to_string(own.data.join("log")).unwrap_or_default();
                    let end: Vec<_> = log.lines().rev().take(9).collect();
                    return Err(format!("{error}\n{end:#?}"));
                }
                Ok(()) => return Ok(()),
            }
            tries += 1;
        }
    }
}

impl Own {
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        // The server does not run as root.
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(&self.data).current_dir(std::env::temp_dir());
        command
    }

    fn boot(&self) -> Result<(), String> {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=120 {}",
            self.port,
            self.data.display(),
            self.settings
        );
        let mut start = self.command("pg_ctl");
        run(start.args(["-w", "-t", "60", "-s", "-l"]).arg(self.data.join("log")).args(["-o", &options, "start"]))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(run(self.command("pg_ctl").args(["-m", "immediate", "-s", "stop"])));
        drop(std::fs::remove_dir_all(&self.data));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    // A server that goes on must not hold a pipe of ours open.
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"))
}

/// Returns the folder with `initdb` and `pg_ctl`: where Debian has the newest server, or one of `PATH`.
fn binaries() -> Option<PathBuf> {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut of_debian: Vec<_> = of_debian.map(|entry| entry.path().join("bin")).collect();
    of_debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &Path| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file());
    of_debian.into_iter().rev().chain(std::env::split_paths(&path)).find(|folder| has_all(folder))
}
