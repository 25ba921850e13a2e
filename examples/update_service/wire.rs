//! The connection to a PostgreSQL server: over TLS, or without encryption on this machine or where requested.

use rustls_native_certs::load_native_certs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The kind of connection, with the URL for the database client.
pub(super) enum Wire {
    Clear(String),
    Tls(String, MakeRustlsConnect),
}

/// Returns the connection that a URL asks for. Over TLS, the certificate of the server and its name are always
/// verified: `require`, `verify-ca` and `verify-full` mean the same.
///
/// # Errors
/// The URL is invalid, it leads to another machine and does not mention TLS, or there are no root certificates.
pub(super) fn of(address: &str, roots: Option<&Path>) -> Result<Wire, String> {
    let address = verified(address);
    let config: Config = address.parse().map_err(|error: tokio_postgres::Error| {
        // The cause is in the source; neither repeats the URL.
        let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
        format!("`--postgres …`: {error}{why}")
    })?;
    match config.get_ssl_mode() {
        SslMode::Require => Ok(Wire::Tls(address, connector(roots)?)),
        _ if roots.is_some() => Err("`--postgres-ca` is for TLS, and `--postgres` asks for none: add `sslmode=verify-full` to its address".to_owned()),
        SslMode::Prefer if !is_local(&config) => Err(
            "`--postgres …` leads to another machine: add `sslmode=verify-full` to the address, or `sslmode=disable` where the \
             way there is safe"
                .to_owned(),
        ),
        _ => Ok(Wire::Clear(address)),
    }
}

/// Returns the URL with the word for verified TLS that the database client knows.
fn verified(address: &str) -> String {
    let (head, options, between) = match address.split_once('?') {
        Some((head, options)) if address.starts_with("postgres") => (format!("{head}?"), options, '&'),
        _ => (String::new(), address, ' '),
    };
    let option = |option| match option {
        "sslmode=verify-full" | "sslmode=verify-ca" => "sslmode=require",
        other => other,
    };
    let options: Vec<_> = options.split(between).map(option).collect();
    head + &options.join(&between.to_string())
}

/// Returns whether every host is this machine.
fn is_local(config: &Config) -> bool {
    let of_name = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(of_name),
        addresses => addresses.iter().all(IpAddr::is_loopback),
    }
}

fn connector(roots: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let mut trusted = RootCertStore::empty();
    let (from, certificates) = match roots {
        Some(file) => {
            let name = format!("`{}`", file.display());
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = read.map_err(|error| format!("{name}: {error}"))?;
            (name, certificates)
        }
        None => ("the store of this system (`--postgres-ca` names another)".to_owned(), load_native_certs().certs),
    };
    if trusted.add_parsable_certificates(certificates).0 == 0 {
        return Err(format!("{from}: it holds no trusted certificate"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(trusted).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_for_verified_tls_is_read_in_both_forms_of_an_address() {
        for (given, read) in [
            ("postgres://u:p@db/x?sslmode=verify-full", "postgres://u:p@db/x?sslmode=require"),
            ("postgresql://db?a=b&sslmode=verify-ca&c=d", "postgresql://db?a=b&sslmode=require&c=d"),
            ("host=db sslmode=verify-full user=u", "host=db sslmode=require user=u"),
            ("host=db password=sslmode=verify-full", "host=db password=sslmode=verify-full"),
            ("postgres://u:sslmode=verify-full@db/x", "postgres://u:sslmode=verify-full@db/x"),
        ] {
            assert_eq!(verified(given), read);
        }
    }

    #[test]
    fn nothing_goes_to_another_machine_in_the_clear_by_mistake() {
        let clear = |address: &str| matches!(of(address, None), Ok(Wire::Clear(_)));
        for local in ["host=127.0.0.1 user=u", "postgres://u@localhost/x", "host=/run/postgresql", "postgres://[::1]/x"]
        {
            assert!(clear(local), "{local}");
        }
        assert!(clear("host=localhost sslmode=disable") && clear("host=db.example sslmode=disable"));
        for far in ["host=db.example", "postgres://u:secret@db.example/x", "postgres://localhost,db.example/x"] {
            let refused = of(far, None).err().unwrap();
            assert!(refused.contains("leads to another machine") && !refused.contains("secret"), "{refused}");
        }
        assert!(of("host=localhost", Some(Path::new("ca.pem"))).err().unwrap().contains("asks for none"));
        let nowhere = of("host=localhost sslmode=require", Some(Path::new("nowhere.pem"))).err().unwrap();
        assert!(nowhere.contains("`nowhere.pem`"), "{nowhere}");
        let wrong = of("host=localhost sslmode=perhaps", None).err().unwrap();
        assert!(wrong.contains("sslmode"), "{wrong}");
    }
}
