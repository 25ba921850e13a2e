//! Taking connections, in the clear or by TLS, until the service is told to stop.

use super::{UpdateServer, keeper};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// How long requests under way may go on after the service was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long a client has to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many connections may be greeted at a time.
const GREETED: usize = 256;

/// Reads a chain of certificates and its key, both PEM.
///
/// # Errors
/// What is wrong with which file.
pub fn tls(certificates: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |file: &Path, why: &dyn std::fmt::Display| format!("`{}`: {why}", file.display());
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificates, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificates, &"it holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| wrong(certificates, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` comes, and then until the requests under way have ended, for a while at most. Says whether they had.
///
/// # Errors
/// Those of the socket.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Arc<UpdateServer>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<bool> {
    let told = Arc::new(Notify::new());
    let stopping = {
        let (told, fatal) = (Arc::clone(&told), app.fatal.clone());
        async move {
            tokio::select! {
                () = stop => {}
                () = fatal.wait() => {}
            }
            tracing::info!("stopping");
            told.notify_one();
        }
    };
    // It ends with the process: whatever it is at is gone on with at the next start.
    tokio::spawn(keeper::keep(Arc::clone(&app)));
    let service = app.router().into_make_service();
    let serving: std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + Send>> = match tls {
        None => Box::pin(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future()),
        Some(acceptor) => {
            let listener = TlsListener::over(listener, acceptor)?;
            Box::pin(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future())
        }
    };
    let mut grace = pin!(async {
        told.notified().await;
        tokio::time::sleep(GRACE).await;
    });
    tokio::select! {
        ended = serving => ended.map(|()| true),
        () = &mut grace => Ok(false),
    }
}

/// Greets many clients at a time, so that one that says nothing keeps no other waiting.
struct TlsListener {
    greeted: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    fn over(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, greeted) = mpsc::channel(GREETED);
        tokio::spawn(async move {
            loop {
                // Whoever reads no more has stopped.
                let Ok(place) = sender.clone().reserve_owned().await else { return };
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = sender.closed() => return,
                };
                let Ok((stream, from)) = accepted else {
                    // The system has no more connections to give: it is asked again a little later.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drop(place.send((stream, from))),
                        Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
                        Err(_) => tracing::debug!(%from, "no TLS in time"),
                    }
                });
            }
        });
        Ok(Self { greeted, address })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.greeted.recv().await {
            Some(greeted) => greeted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
