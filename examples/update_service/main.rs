//! A service that stores medical devices and receives software updates for them, over HTTP.
//!
//! ```text
//! cargo run --release --features server --example update_service -- [--listen ADDR] [--data DIR] [--help]
//! ```
//!
//! By default everything is in memory, and the tenant `demo` has two devices to begin with. `http://127.0.0.1:8080/`
//! has the HTML pages, with links to the rest; `/metrics` has metrics for Prometheus.

mod kept;
mod regions;
mod settings;
mod sign_in;
mod sources;

use fhir_devices::server::{self, Fatal, SubscriptionOptions, TokenFile, UpdateServer, serve, shared_page_key, tls};
use fhir_devices::service::MaintenanceError;
use settings::{Settings, USAGE};
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = sources::arguments(std::env::args_os().skip(1), std::env::vars_os());
    let settings = match arguments.and_then(|arguments| settings::read(arguments.into_iter())) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            // A reader that closed the output needs no more help.
            let _ = writeln!(std::io::stdout(), "{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return refuse(&format!("{wrong} (`--help` lists the arguments)")),
    };
    let fatal = Fatal::default();
    match (run(&settings, &fatal).await, fatal.reported()) {
        (Err(error), _) if error.downcast_ref::<MaintenanceError>().is_some_and(is_mismatch) => {
            eprintln!("update_service: {error}; `--adopt-store` adopts it");
            ExitCode::from(OTHER_STORE)
        }
        (Err(error), _) => refuse(&error.to_string()),
        (Ok(()), Some(condition)) => {
            eprintln!("update_service: {condition}");
            // The runtime would wait for threads that a failed store blocks.
            std::process::exit(FAILED)
        }
        (Ok(()), None) => ExitCode::SUCCESS,
    }
}

/// The exit status after a fatal condition.
const FAILED: i32 = 3;

/// The exit status when the store of update files does not belong to the ledger.
const OTHER_STORE: u8 = 4;

fn is_mismatch(error: &MaintenanceError) -> bool {
    matches!(error, MaintenanceError::Mismatch(_))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("update_service: {why}");
    ExitCode::from(2)
}

async fn run(settings: &Settings, fatal: &Fatal) -> Result<(), Box<dyn Error>> {
    log(settings);
    let hangups = Hangups::new();
    let acceptor = settings.tls.as_ref().map(|(certificates, key)| tls(certificates, key)).transpose()?;
    let stores = kept::open(settings, fatal).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("cannot listen at {}: {error}", settings.listen))?;
    let address = listener.local_addr()?;
    let own = format!("{}://{address}", if acceptor.is_some() { "https" } else { "http" });
    let ledger = Arc::clone(&stores.ledger);
    let pages =
        shared_page_key(&ledger).await.map_err(|error| format!("the ledger has no secret for page links: {error}"))?;
    let mut app = UpdateServer::over(stores, settings.base_url.as_deref().unwrap_or(&own), settings.max_upload)?
        .with_page_key(pages)
        .with_canonical_base(settings.canonical.clone())
        .with_store_adoption(settings.adopt_store)
        .with_sweep_rules(settings.sweep)
        .with_retention(settings.keep)
        .with_limits(settings.limits)
        .with_cors_origins(settings.cors_origins.iter().cloned())
        .with_handling(settings.handling)
        .with_referenced_deletion(settings.referenced)
        .with_scrub_every(settings.scrub_every)
        .with_references(settings.missing, settings.unknown)
        .with_device_polling(settings.device_polling)
        .with_fatal(fatal.clone())
        .with_connection_limits(settings.connections.clone().within_descriptors()?);
    let (regions, reporting) = regions::open(settings, &app)?;
    if !regions.is_empty() {
        app = app.with_regions(regions);
    }
    if let Some(timeout) = settings.upload_timeout {
        app = app.with_upload_timeout(timeout);
    }
    if let Some(url) = &settings.cdn_url {
        app = app.with_cdn(url);
    }
    if let Some(bytes) = settings.request_memory {
        app = app.with_request_memory(bytes);
    }
    if let Some(rules) = settings.subscriptions {
        app = app.with_subscriptions(SubscriptionOptions::with_endpoint_rules(rules)?);
    }
    if let Some(file) = &settings.oidc {
        app = sign_in::at_provider(app, file, &ledger).await?;
    }
    let tokens = settings.tokens.as_ref().map(TokenFile::open).transpose()?;
    if let Some(file) = &tokens {
        tokio::spawn(Arc::clone(file).watch(TOKENS_EVERY));
        app = app.with_token_file(Arc::clone(file));
    }
    tokio::spawn(hangups.each(tokens));
    app.check_stores().await?;
    if settings.demo {
        server::fill_demo(&app).await?;
    }

    let app = Arc::new(app);
    reporting.begin(&app);
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {own}")?;
    out.flush()?;
    drop(out);

    if !serve(listener, acceptor, app, stop_signal()).await? {
        tracing::warn!("stopped with requests under way");
    }
    Ok(())
}

/// How often the token file is checked for changes.
const TOKENS_EVERY: Duration = Duration::from_secs(2);

/// The signal that reloads the token file. Without a handler it would end the process.
struct Hangups(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangups {
    fn new() -> Self {
        #[cfg(unix)]
        return Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok());
        #[cfg(not(unix))]
        return Self();
    }

    async fn each(mut self, tokens: Option<Arc<TokenFile>>) {
        while self.next().await {
            match &tokens {
                // Faults of the file are logged.
                Some(file) => drop(file.reload()),
                None => tracing::info!("there is no file of tokens to read again"),
            }
        }
    }

    async fn next(&mut self) -> bool {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0 {
            return signal.recv().await.is_some();
        }
        false
    }
}

/// Starts logging to standard error.
fn log(settings: &Settings) {
    let log = tracing_subscriber::fmt().with_max_level(settings.log).with_writer(std::io::stderr).with_target(false);
    if settings.log_json {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(false).init();
    }
}

/// Waits for Ctrl-C, or for SIGTERM.
async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the signal ends the process by itself.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
