//! `GET /TENANT/updates/ID`: where an upload stands.

use crate::app::Shared;
use crate::app::answer::{Problem, Result, plain};
use crate::app::keeper;
use crate::app::place::AtUpload;
use axum::extract::State;
use axum::http::StatusCode;
use fhir_devices::issue::Kind;
use fhir_devices::service::KeepError;
use fhir_devices::update::ingest::{Ingest, State as Stands};
use serde_json::{Map, Value, json};

pub(crate) async fn show(State(app): State<Shared>, AtUpload(tenant, id): AtUpload) -> Result {
    match app.updates.upload(&tenant, id).await {
        Ok(ingest) => {
            keeper::notice(&app, &tenant).await;
            Ok(plain("application/json", Value::from(of(&ingest)).to_string()))
        }
        Err(KeepError::NoSuchUpload) => Err(Problem::not_found(format!("there is no upload {id}"))),
        Err(KeepError::Store(error)) => Err(Problem::of_store(&error, format_args!("upload {id}"))),
        Err(error) => {
            super::super::answer::report_fault(&error);
            let words = "the upload cannot be looked at";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Kind::Exception, "fault", words))
        }
    }
}

fn of(ingest: &Ingest) -> Map<String, Value> {
    let Ingest { id, intent, opened, state, .. } = ingest;
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            said.insert(name.to_owned(), value);
        }
    };
    say("id", json!(id));
    say("state", json!(state.name()));
    say("device", json!(format!("Device/{}", intent.device)));
    say("version", json!(intent.version));
    say("sequence", json!(intent.sequence));
    say("fileName", json!(intent.file_name));
    say("contentType", json!(intent.content_type));
    say("opened", json!(opened));
    if let Some(key) = state.key() {
        say("sha256", json!(key.digest));
        say("generation", json!(key.generation));
    }
    match state {
        Stands::Attached { component, version, .. } | Stands::Superseded { component, version, .. } => {
            say("component", json!(format!("DeviceComponent/{component}/_history/{version}")));
        }
        Stands::Releasing { reason, .. } | Stands::Closed { reason } => say("reason", json!(reason)),
        _ => {}
    }
    if let Stands::Superseded { by, .. } = state {
        say("supersededBy", json!(by));
    }
    said
}
