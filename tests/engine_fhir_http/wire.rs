//! The options `--fhir-token`, `--fhir-cert` and `--fhir-ca` of the example `update_service`, over a TLS server; and
//! the overhead of a read compared with a bare client.

use super::client::Service;
use super::foreign::foreign_url;
use super::lax::{Kept, Lax};
use super::odd;
use super::story::Folder;
use super::{RUNTIME, example, options};
use fhir_devices::search::ResourceType;
use fhir_devices::store::*;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/key.pem");

/// Accepts one client certificate and no other.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>, Arc<CryptoProvider>);

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match *shown == self.0 {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(rustls::Error::General("another certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.1.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.1.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// Starts a FHIR server that requires this token and, on request, a client certificate.
async fn tls_server(token: Arc<Mutex<String>>, wants_certificate: bool) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let certificate = CertificateDer::from_pem_file(CERTIFICATE).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match wants_certificate {
        true => builder.with_client_cert_verifier(Arc::new(Pinned(certificate.clone(), provider))),
        false => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(KEY).unwrap()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let all = Arc::new(Mutex::new(BTreeMap::<String, Kept>::new()));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, all, token) = (acceptor.clone(), Arc::clone(&all), Arc::clone(&token));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let script = move |heard: &odd::Heard| {
                    let wanted = format!("Bearer {}", token.lock().unwrap());
                    if heard.header("authorization") != Some(&wanted) {
                        return odd::say(401, "");
                    }
                    let (method, place) = heard.line.split_once(' ').unwrap();
                    let (tenant, place) = place.trim_start_matches('/').split_once('/').unwrap();
                    let mut all = all.lock().unwrap();
                    all.entry(tenant.to_owned()).or_default().answer(Lax::default(), method, place, heard)
                };
                drop(odd::answer(stream, &Mutex::new(Vec::new()), &script).await);
            });
        }
    });
    address
}

/// Starts the service over the server; returns its address, or its output when it does not start.
fn start(binary: &Path, fhir: &str, options: &[&str]) -> (std::process::Child, Result<SocketAddr, String>) {
    let mut command = Command::new(binary);
    command.args(["--listen", "127.0.0.1:0", "--no-demo", "--log", "error", "--fhir", fhir]).args(options);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    match line.trim().strip_prefix("listening on http://") {
        Some(address) => (child, Ok(address.parse().unwrap())),
        None => {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
            (child, Err(said))
        }
    }
}

#[test]
fn token_certificate_and_roots_of_the_fhir_server_are_used() {
    let binary = example::build("update_service");
    let folder = Folder(std::env::temp_dir().join(format!("fhir-devices-wire-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let (token, wrong, identity) = (folder.0.join("token"), folder.0.join("wrong"), folder.0.join("identity.pem"));
    std::fs::write(&token, "first-token\n").unwrap();
    std::fs::write(&wrong, "another-token\n").unwrap();
    let both = [std::fs::read(CERTIFICATE).unwrap(), std::fs::read(KEY).unwrap()].concat();
    std::fs::write(&identity, both).unwrap();
    let [token, wrong, identity] = [&token, &wrong, &identity].map(|path| path.to_str().unwrap());
    let taken = Arc::new(Mutex::new("first-token".to_owned()));
    let (open, closed) =
        RUNTIME.block_on(async { (tls_server(taken.clone(), false).await, tls_server(taken.clone(), true).await) });
    let url = |address: SocketAddr| format!("https://localhost:{}/{{tenant}}", address.port());

    let (roots, cert) = (["--fhir-ca", CERTIFICATE], ["--fhir-cert", identity]);
    for (server, options, why) in [
        (open, [&["--fhir-token", token][..], &[]].concat(), "certificate"),
        (open, roots.to_vec(), "401"),
        (open, [&["--fhir-token", wrong], &roots[..]].concat(), "401"),
        (open, [&["--fhir-token", "/nowhere/token"], &roots[..]].concat(), "--fhir-token /nowhere/token"),
        (open, ["--fhir-token", token, "--fhir-ca", token].to_vec(), "--fhir-ca"),
        (open, [&["--fhir-token", token, "--fhir-cert", CERTIFICATE], &roots[..]].concat(), "--fhir-cert"),
        (closed, [&["--fhir-token", token], &roots[..]].concat(), "--fhir"),
    ] {
        let (_, started) = start(&binary, &url(server), &options);
        let said = started.expect_err(&format!("{options:?} is enough"));
        assert!(
            said.contains(why) && !said.contains("first-token") && !said.contains("another-token"),
            "{why}: {said}"
        );
    }
    for (server, options) in [
        (open, [&["--fhir-token", token], &roots[..]].concat()),
        (closed, [&["--fhir-token", token], &roots[..], &cert[..]].concat()),
    ] {
        *taken.lock().unwrap() = "first-token".to_owned();
        std::fs::write(token, "first-token\n").unwrap();
        let (mut child, started) = start(&binary, &url(server), &options);
        let http = Service { address: started.unwrap_or_else(|said| panic!("{options:?}: {said}")) };
        RUNTIME.block_on(async {
            let device = r#"{"resourceType":"Device","id":"pump"}"#;
            let put = async || http.json("PUT", "/ward/fhir/Device/pump", &[], device).await.status;
            assert_eq!(put().await, 201);
            // The token is another one from now on, and is read again for each request.
            *taken.lock().unwrap() = "second-token".to_owned();
            assert!(http.get("/ward/fhir/Device/pump").await.status >= 500);
            std::fs::write(token, "second-token").unwrap();
            assert_eq!(http.get("/ward/fhir/Device/pump").await.status, 200);
        });
        drop(child.kill());
        drop(child.wait());
    }
}

/// The median of what something takes.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn read_adds_less_than_a_millisecond_to_that_of_a_bare_client() {
    let here = foreign_url().is_none();
    RUNTIME.block_on(async {
        let tenant: Tenant = "cost".parse().unwrap();
        let url = match foreign_url() {
            Some(url) => url,
            None => format!("http://{}/{{tenant}}/fhir", Service::start().await.address),
        };
        let store = match here {
            true => options().at(&url).unwrap(),
            false => fhir_devices::backend::fhir_http::Options::new().connect(&url, &tenant).await.unwrap(),
        };
        let key = Key::new(ResourceType::Device, "cost").unwrap();
        let contact: Vec<String> =
            (0..40).map(|n| format!(r#"{{"system":"phone","value":"555-{n:04}","rank":{}}}"#, n + 1)).collect();
        let body = format!(r#"{{"resourceType":"Device","id":"cost","contact":[{}]}}"#, contact.join(","));
        store.commit(&tenant, vec![Write::put(key.clone(), body, Default::default())]).await.unwrap();
        let bare = reqwest::Client::builder();
        let bare = bare.tls_backend_preconfigured(
            rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        );
        let bare = bare.build().unwrap();
        let address = format!("{}/Device/cost", url.replace("{tenant}", "cost"));
        let mut added = Duration::MAX;
        for _ in 0..10 {
            let (mut own, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                let begun = Instant::now();
                let bytes = bare.get(&address).send().await.unwrap().bytes().await.unwrap();
                assert!(bytes.len() > 1_000);
                theirs.push(begun.elapsed());
                let begun = Instant::now();
                store.read(&tenant, &key).await.unwrap();
                own.push(begun.elapsed());
            }
            let (own, theirs) = (median(own), median(theirs));
            println!("a read of 2 kB: {own:?}, by a bare client {theirs:?}");
            added = added.min(own.saturating_sub(theirs));
            if added < Duration::from_millis(1) {
                return;
            }
        }
        panic!("a read adds {added:?}");
    });
}
