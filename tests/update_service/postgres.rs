//! The service over a PostgreSQL server: over TLS, and after a restart.

use super::keeping::{Dying, goes_on_after_a_start};
use super::kept;
use super::server::Server;
use super::settings;
use fhir_devices::backend::Memory;
use fhir_devices::backend::postgres::{NoTls, Options};
use fhir_devices::server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

#[tokio::test]
async fn interrupted_work_resumes_with_postgres() {
    let server = match Server::start_own(&["-c fsync=off"]) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let store = Arc::new(Options::new().connect(&server.url, NoTls).await.unwrap());
    goes_on_after_a_start(Dying::over(store.clone(), Arc::new(Memory::new()), store)).await;
}

/// A certificate for localhost and its key, in a temporary folder.
struct Certificate(PathBuf);

impl Certificate {
    fn make() -> Option<Self> {
        let own = Self(std::env::temp_dir().join(format!("fhir-devices-service-tls-{}", std::process::id())));
        std::fs::create_dir_all(&own.0).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(own.key())
            .arg("-out")
            .arg(own.file())
            .output();
        // The user of the server reads them.
        drop(Command::new("chown").arg("-R").arg("postgres").arg(&own.0).status());
        made.is_ok_and(|made| made.status.success()).then_some(own)
    }

    fn file(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Opens the stores as the command line does; the files go into the certificate's folder.
async fn open(url: &str, roots: Option<&Path>, files: &Path) -> Result<server::Stores, String> {
    let mut arguments = vec!["--postgres".to_owned(), url.to_owned(), format!("--data={}", files.display())];
    if let Some(roots) = roots {
        arguments.extend(["--postgres-ca".to_owned(), roots.display().to_string()]);
    }
    kept::open(&settings::read(arguments.into_iter()).unwrap().unwrap(), &server::Fatal::default()).await
}

#[tokio::test]
async fn postgres_connection_verifies_its_certificate() {
    let Some(certificate) = Certificate::make() else {
        assert!(std::env::var_os("FHIR_DEVICES_REQUIRE_ENGINES").is_none(), "openssl is required");
        return println!("skipped: there is no openssl to make a certificate");
    };
    let (file, key, files) = (certificate.file(), certificate.key(), &certificate.0.join("files"));
    let settings =
        format!("-c ssl=on -c ssl_key_file={} -c ssl_cert_file={} -c fsync=off", key.display(), file.display());
    let server = match Server::start_own(&[&settings]) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let (session, connection) = tokio_postgres::connect(&server.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let encrypted = "SELECT bool_and(s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE a.application_name = 'fhir-devices'";
    for mode in ["require", "verify-ca", "verify-full"] {
        let stores = open(&format!("{} sslmode={mode}", server.url), Some(&file), files).await.unwrap();
        let seen = session.query_one(encrypted, &[]).await.unwrap();
        assert!(seen.get::<_, bool>(0) && seen.get::<_, i64>(1) > 0, "{mode}");
        drop(stores);
    }
    let port = server.url.split("port=").nth(1).unwrap().split(' ').next().unwrap();
    let url = format!("postgres://postgres@localhost:{port}/postgres?sslmode=verify-full");
    open(&url, Some(&file), files).await.unwrap();

    // The system does not know the certificate, another name is not in it, and a server without TLS is refused.
    let stranger = open(&url, None, files).await.err().unwrap();
    assert!(stranger.contains("certificate") || stranger.contains("--postgres-ca"), "{stranger}");
    let other = format!("host=db.example hostaddr=127.0.0.1 port={port} user=postgres sslmode=verify-full");
    let other = open(&other, Some(&file), files).await.err().unwrap();
    assert!(other.contains("certificate"), "{other}");
    let plain = Server::start_own(&["-c fsync=off"]).unwrap();
    let refused = open(&format!("{} sslmode=require", plain.url), Some(&file), files).await.err().unwrap();
    assert!(refused.contains("TLS"), "{refused}");
    open(&plain.url, None, files).await.unwrap();
}
