//! A service that keeps medical devices and takes software updates for them, over HTTP.
//!
//! ```text
//! cargo run --release --example update_service -- [--listen ADDR] [--max-upload BYTES]
//! ```
//!
//! Everything is in memory; the tenant `demo` has two devices to begin with. `http://127.0.0.1:8080/` is a page for
//! people, and says what else there is.

mod app;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const USAGE: &str = "usage: update_service [--listen ADDR] [--max-upload BYTES]

  --listen ADDR        where to listen: an address of this machine, with a port (default 127.0.0.1:8080; port 0 takes
                       any free one)
  --max-upload BYTES   the largest update file that is taken (default 1073741824)";

/// How long requests under way may go on after the service was told to stop.
const GRACE: Duration = Duration::from_secs(10);

struct Arguments {
    listen: SocketAddr,
    max_upload: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            // Whoever reads no further needs no more help.
            let _ = writeln!(std::io::stdout(), "{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return refuse(&format!("{wrong} (`--help` lists the arguments)")),
    };
    match serve(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("update_service: {why}");
    ExitCode::from(2)
}

/// Reads the arguments; `None` where help is asked for.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), max_upload: app::MAX_UPLOAD };
    while let Some(name) = given.next() {
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (name, None),
        };
        let mut value = || value.clone().or_else(|| given.next()).ok_or_else(|| format!("`{name}` wants a value"));
        match name.as_str() {
            "--listen" => arguments.listen = listen(&value()?)?,
            "--max-upload" => {
                let text = value()?;
                arguments.max_upload = text.parse().map_err(|_| format!("`{text}` is not a number of bytes"))?;
            }
            "--data" => {
                return Err(
                    "`--data` is not supported yet: everything is kept in memory, and ends with the service".into()
                );
            }
            "-h" | "--help" => return Ok(None),
            other => return Err(format!("`{other}` is not known")),
        }
    }
    Ok(Some(arguments))
}

/// An address to listen at. Only this machine is allowed: what goes beyond needs encryption and a sign-in.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        numeric.parse().map_err(|_| format!("`{text}` is not an address with a port, such as 127.0.0.1:8080"))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "`{text}` can be reached from other machines, and this service has neither TLS nor an authenticator yet: listen at \
         a loopback address, such as 127.0.0.1:{}",
        address.port()
    ))
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen at {}: {error}", arguments.listen))?;
    let address = listener.local_addr()?;
    let app = Arc::new(app::App::in_memory(address, arguments.max_upload)?);
    app::demo::fill(&app).await?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()?;
    drop(out);

    let stop = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&stop);
    let serving = axum::serve(listener, app::router(app)).with_graceful_shutdown(async move {
        stop_signal().await;
        told.notify_one();
    });
    tokio::select! {
        ended = serving.into_future() => ended?,
        () = async { stop.notified().await; tokio::time::sleep(GRACE).await } => {
            eprintln!("update_service: stopped with requests under way");
        }
    }
    Ok(())
}

/// Waits for Ctrl-C, or for the signal that asks a process to end.
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
