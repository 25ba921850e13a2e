//! Accepting connections, without encryption or with TLS, until the service is told to stop.

use super::answer::{Problem, under};
use super::connections::{Connection, Connections, Phase, Place};
use super::refused_head::RefusedHeads;
use super::timed::{AnswerBody, TimedBody, TimedStream};
use super::{Shared, UpdateServer, guard, health, maintenance};
use crate::issue::IssueType;
use crate::primitive::CanonicalBase;
use crate::support::tls::crypto_provider;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long requests in progress may continue after the service was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long `GET /readyz` reports a fatal condition before the service stops.
const NOT_READY: Duration = Duration::from_secs(2);

/// How long a reserve connection may take for its handshake, and for its request.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the service pauses when the system has no more descriptors for connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Minimum time between two log lines about that.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Maximum size of a request head, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// The client address of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Whether a request came over TLS terminated by this service.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverTls(pub(super) bool);

/// Reads a certificate chain and its key, both PEM. TLS uses the crypto provider that the program set for its process,
/// else that of the feature `ring`; [`TlsAcceptor`] can be made with any other.
///
/// # Errors
/// The file at fault, and its fault.
pub fn tls(certificates: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |file: &Path, why: &dyn std::fmt::Display| format!("`{}`: {why}", file.display());
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificates, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificates, &"it holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let provider = crypto_provider(None).map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| wrong(certificates, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` resolves, then lets requests in progress finish within a limited time. Returns whether they
/// finished.
///
/// # Errors
/// None at present: a connection that cannot be accepted is logged and skipped.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Arc<UpdateServer>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<bool> {
    spawn_maintenance(&app);
    Ok(accept(listener, tls, app, stop).await)
}

/// Starts the background work of the service: it finishes interrupted uploads, deletes unneeded files, and checks files
/// against their digests. [`serve`] calls it; an application that mounts [`UpdateServer::router`] calls it once, within
/// tokio.
///
/// The work ends with the process, and continues at the next start.
pub fn spawn_maintenance(app: &Arc<UpdateServer>) {
    tokio::spawn(maintenance::scrub(Arc::clone(app)));
    tokio::spawn(super::rollouts::run(Arc::clone(app)));
    tokio::spawn(super::subscriptions::run(Arc::clone(app)));
    let (maintenance_task, fatal) = (tokio::spawn(maintenance::run(Arc::clone(app))), app.fatal.clone());
    tokio::spawn(async move {
        if let Err(error) = maintenance_task.await
            && error.is_panic()
        {
            fatal.report("the background work broke off, and a restart goes on with it");
        }
    });
}

/// Accepts connections and answers their requests, without background work: see [`serve`].
pub async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Arc<UpdateServer>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> bool {
    let (connections, fatal) = (Arc::clone(&app.connections), app.fatal.clone());
    let (canonical, router) = (app.canonical.clone(), Arc::clone(&app).router());
    let server = Arc::new(Server { tls, health: health_only(&app), router, canonical });
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(async {
        tokio::select! {
            () = stop => {}
            () = async {
                fatal.wait().await;
                tokio::time::sleep(NOT_READY).await;
            } => {}
        }
    });
    tokio::spawn(report_sign_ins(Arc::clone(&app), stopped.clone()));
    let mut failures = AcceptFailures::default();
    loop {
        let next = async { (connections.descriptor().await, listener.accept().await) };
        let (descriptor, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let place = connections.admit(from.ip(), descriptor);
                tokio::spawn(Arc::clone(&server).connection(stream, from, place, stopped.clone()));
            }
            Err(error) => {
                drop(descriptor);
                if let Some(pause) = failures.add(&error, &connections) {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    tracing::info!("stopping");
    drop(listener);
    stopping.send_replace(true);
    let ended = tokio::time::timeout(GRACE, connections.all_closed()).await.is_ok();
    connections.close_all();
    app.sign_ins.flush(true);
    ended
}

/// Logs failed sign-ins that were too many for a line each, until the service is told to stop.
async fn report_sign_ins(app: Shared, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(LOG_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => app.sign_ins.flush(false),
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Connections that could not be accepted since the last log line.
#[derive(Debug, Default)]
struct AcceptFailures {
    count: u64,
    logged: Option<Instant>,
}

impl AcceptFailures {
    /// Counts a failure, and returns how long to wait.
    fn add(&mut self, error: &io::Error, connections: &Connections) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return None;
        }
        connections.counters.accept_failures.fetch_add(1, Relaxed);
        self.count += 1;
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            tracing::error!(%error, failures = self.count, "connections cannot be accepted");
            (self.count, self.logged) = (0, Some(Instant::now()));
        }
        // The process is most likely out of descriptors.
        connections.close_least_needed();
        Some(ACCEPT_PAUSE)
    }
}

/// The parts that answer the requests of every connection.
struct Server {
    tls: Option<TlsAcceptor>,
    router: Router,
    health: Router,
    /// The base of the library's own URLs in answers made outside the router.
    canonical: CanonicalBase,
}

/// Answers health checks, and refuses all other requests.
fn health_only(app: &Shared) -> Router {
    health::routes().fallback(busy).layer(map_response(guard::protect)).with_state(Arc::clone(app))
}

async fn busy() -> Problem {
    let words = "the service has as many connections as it may: try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Throttled, "too-many-connections", words).retry_after(1)
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        place: Place,
        mut stopped: watch::Receiver<bool>,
    ) {
        // Answers are written whole, so delaying small packets gains nothing.
        drop(stream.set_nodelay(true));
        let connection = &place.connection;
        let Some(acceptor) = &self.tls else { return self.requests(stream, from, &place, stopped).await };
        let limits = &place.connections().limits;
        let time = if place.health_only { RESERVE_TIMEOUT.min(limits.handshake) } else { limits.handshake };
        let greeted = tokio::select! {
            greeted = tokio::time::timeout(time, acceptor.accept(stream)) => greeted,
            () = connection.closed() => return,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match greeted {
            Ok(Ok(stream)) => {
                connection.enter(Phase::New);
                self.requests(stream, from, &place, stopped).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
            Err(_) => {
                place.connections().counters.handshake_timeouts.fetch_add(1, Relaxed);
                tracing::debug!(%from, "no TLS in time");
            }
        }
    }

    /// Answers the requests of a connection, until the client or the service closes it.
    async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: S,
        from: SocketAddr,
        place: &Place,
        mut stopped: watch::Receiver<bool>,
    ) {
        let (connection, connections) = (&place.connection, place.connections());
        let stream = TimedStream::new(stream, Arc::clone(connection), Arc::clone(connections));
        let stream = RefusedHeads::new(stream, Arc::clone(connection), self.canonical.clone());
        let router = if place.health_only { &self.health } else { &self.router };
        let (secure, health_only) = (OverTls(self.tls.is_some()), place.health_only);
        let service = service_fn(|mut request: Request<Incoming>| {
            connection.enter(Phase::Request);
            request.extensions_mut().insert(PeerAddress(from.ip().to_canonical()));
            request.extensions_mut().insert(secure);
            answer(router.clone(), request, (connections, connection), &self.canonical, health_only)
        });
        // The stream has the timeouts; hyper has them for heads alone.
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).max_buf_size(MAX_HEAD.max(8_192)).keep_alive(!place.health_only);
        let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
        let reserved = async {
            if !place.health_only {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(RESERVE_TIMEOUT * 2).await;
        };
        let mut reserved = pin!(reserved);
        let mut told = false;
        loop {
            tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%from, %error, "a connection broke off");
                    }
                    return;
                }
                () = connection.closed() => return,
                () = &mut reserved => return,
                _ = stopped.wait_for(|stopped| *stopped), if !told => {
                    told = true;
                    if matches!(connection.phase().0, Phase::New | Phase::Header) {
                        return;
                    }
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Answers one request.
async fn answer(
    router: Router,
    request: Request<Incoming>,
    (connections, connection): (&Arc<Connections>, &Arc<Connection>),
    canonical: &CanonicalBase,
    last: bool,
) -> Result<Response<AnswerBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let (body, expired) = TimedBody::new(body, Arc::clone(connection), &connections.limits);
    let request = Request::from_parts(parts, Body::new(body));
    let mut response = TowerToHyperService::new(router).call(request).await?;
    if expired.load(Relaxed) {
        connections.counters.body_timeouts.fetch_add(1, Relaxed);
        if !response.status().is_success() {
            let words = "the body did not come in time";
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, IssueType::Timeout, "timeout", words);
            response = guard::protect(problem.into_response()).await;
        }
    }
    response = under(canonical, response);
    if last || expired.load(Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AnswerBody::new(body, Arc::clone(connection))))
}
