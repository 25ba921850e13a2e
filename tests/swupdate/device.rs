//! A Linux device: SWUpdate as packaged by Debian, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Returns whether SWUpdate and the tools for its images are installed; where the gate requires them, the test fails
/// instead.
pub(crate) fn is_here() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let all = has("swupdate") && has("cpio") && has("curl") && Command::new("openssl").arg("version").output().is_ok();
    let required = std::env::var_os("FHIR_DEVICES_REQUIRE_SWUPDATE").is_some();
    assert!(all || !required, "SWUpdate, cpio, curl and openssl are to be here: `.ci/engines/swupdate` installs them");
    if !all {
        eprintln!("skipped: there is no SWUpdate here");
    }
    all
}

pub(crate) struct Device {
    folder: PathBuf,
}

impl Drop for Device {
    fn drop(&mut self) {
        // What a failure left behind can be looked at.
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// A running SWUpdate, killed on drop, as by a loss of power.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn run(folder: &Path, script: &str) {
    let done = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Device {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fhir-devices-swupdate-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("tmp")).unwrap();
        run(
            &folder,
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj '/CN=maker' \
             -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature",
        );
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a signed image, which writes `firmware VERSION` into a file.
    pub(crate) fn image(&self, version: &str) -> Vec<u8> {
        let script = format!(
            r#"mkdir -p image; cd image; echo 'firmware {version}' > fw.bin
               sum=$(sha256sum fw.bin | cut -d' ' -f1)
               cat > sw-description <<END
software = {{
  version = "{version}";
  hardware-compatibility: [ "1.0" ];
  files: ( {{ filename = "fw.bin"; path = "{target}"; sha256 = "$sum"; }} );
}}
END
               openssl cms -sign -in sw-description -out sw-description.sig -signer ../cert.pem -inkey ../key.pem \
                   -outform DER -nosmimecap -binary
               printf '%s\n' sw-description sw-description.sig fw.bin | cpio -o -H crc > ../pump.swu"#,
            target = self.folder.join("installed").display()
        );
        run(&self.folder, &script);
        std::fs::read(self.folder.join("pump.swu")).unwrap()
    }

    /// Returns the installed content.
    pub(crate) fn installed(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.join("installed")).ok().map(|text| text.trim().to_owned())
    }

    /// Starts the device with its running version.
    pub(crate) fn start(&self, service: &str, version: &str, options: &str) -> Running {
        let attributes = format!(
            "globals : {{ verbose = true; }};\nidentify : ( {{ name = \"sw.pump-7-mds\"; value = \"{version}\"; }}, {{ name = \"restarted\"; value = \"true\"; }} );\n"
        );
        std::fs::write(self.folder.join("swupdate.cfg"), attributes).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = Command::new("swupdate")
            .args(["-v", "-H", "pump:1.0", "-k", "cert.pem", "-f", "swupdate.cfg", "-u"])
            .arg(format!("-t st-mary -u http://{service} -i pump-7 -p 1 -r 3 -w 1 {options}"))
            .current_dir(&self.folder)
            .env("TMPDIR", self.folder.join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Waits for a condition.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > Duration::from_secs(45) {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(60).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                panic!("{what}: not within 45 s\n{}", tail.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
