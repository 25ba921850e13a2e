//! Uploads of updates: a form whose file is streamed to the library.

pub(super) mod form;
pub(super) mod part;
pub(crate) mod records;
pub(crate) mod sequences;
pub(super) mod source;
pub(crate) mod state;

use super::answer::{self, Problem, Result, http_date, json, set};
use super::guard::Caller;
use super::place::{AtTenant, one};
use super::{Shared, UpdateServer, maintenance, page};
use crate::audit::UploadFailure;
use crate::containment::SelectError;
use crate::issue::IssueType;
use crate::manifest::ActorId;
use crate::service::{ReceiveError, Received, Submission};
use crate::store::{StoreError, Stored, Tenant};
use crate::update::ingest::NotAcceptable;
use crate::update::is_available_update;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use form::Form;
use futures_core::Stream;
use part::Part;
use source::Source;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Maximum number of parts of a form.
const MAX_PARTS: usize = 32;

/// Number of chunks of the file that may wait for the library.
pub(super) const CHUNKS: usize = 4;

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(60);

type Chunk = std::result::Result<Bytes, StoreError>;

/// `POST /TENANT/updates`
pub(crate) async fn receive(
    State(app): State<Shared>,
    AtTenant(tenant): AtTenant,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result {
    let sender = caller.actor()?;
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let for_person = page::is_wanted(&parts.uri);
    let source = Source::new(body);
    let request = Request::from_parts(parts, source.body());
    let answered = from_form(&app, &tenant, request, (&headers, sender, for_person), &source).await;
    source.drain(app.max_upload, headers.contains_key(header::EXPECT));
    answered
}

async fn from_form(
    app: &UpdateServer,
    tenant: &Tenant,
    request: Request,
    (headers, by, for_person): (&HeaderMap, ActorId, bool),
    source: &Arc<Source>,
) -> Result {
    let kind = one(headers, &header::CONTENT_TYPE).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("multipart/form-data") {
        let words = format!("an update comes as multipart/form-data, and this is `{kind}`");
        return Err(Problem::unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", words));
    }
    let announced = one(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > app.max_upload.saturating_add(1 << 20)) {
        return Err(too_large(app.max_upload));
    }
    let key = headers.get(&IDEMPOTENCY_KEY).map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let form = Multipart::from_request(request, &())
        .await
        .map_err(|_| Problem::bad("multipart", "the `Content-Type` has no boundary"))?;

    let mut parts = Parts { form, source: Arc::clone(source), count: 0 };

    let (about, submission) = oneshot::channel();
    let (sender, body) = mpsc::channel(CHUNKS);
    let forwarding = async move {
        let forwarded = parts.forward((key.as_deref(), by), about, &sender, app.max_upload).await;
        if forwarded.is_err() {
            // The library must not take the received part for the whole file.
            let _ = sender.send(Err(StoreError::invalid("the upload was refused"))).await;
        }
        forwarded
    };
    let receiving = async {
        let submission = submission.await.ok()?;
        if let Err(error) = maintenance::admit_tenant(app, tenant, &submission.device).await {
            return Some(Err(error));
        }
        Some(app.updates.receive(tenant, submission, Box::pin(Chunks(body))).await)
    };
    match tokio::join!(forwarding, receiving) {
        (_, Some(Ok(mut received))) => {
            // The update is attached, even if this lookup fails.
            if let Err(error) = app.updates.show_known_updates(tenant, &mut received.component).await {
                tracing::warn!(%tenant, %error, "the updates of a component could not be looked up");
                received.component.extension.retain(|extension| !is_available_update(extension.url.as_str()));
                received.component.extension.push(received.update.to_extension_under(&app.canonical));
            }
            received_answer(app, tenant, (headers, for_person), &received)
        }
        (Err(problem), None | Some(Err(ReceiveError::Body(_)))) => Err(problem),
        (_, Some(Err(error))) => Err(refusal(&error)),
        (Ok(()), None) => Err(Problem::bad("multipart", "the form ended before its file")),
    }
}

/// The parts of a form, one after the other.
struct Parts {
    form: Multipart,
    source: Arc<Source>,
    count: usize,
}

impl Parts {
    async fn next(&mut self) -> Result<Option<Field<'_>>> {
        self.count += 1;
        if self.count > MAX_PARTS {
            let words = format!("the form has more than {MAX_PARTS} parts");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-many-parts", words));
        }
        let source = &self.source;
        source.step();
        let next = in_time(self.form.next_field()).await?;
        next.map_err(|error| unreadable(&error, source))
    }

    /// Reads the fields, sends on their values, forwards the file, and reads the form to its end.
    async fn forward(
        &mut self,
        (key, by): (Option<&str>, ActorId),
        about: oneshot::Sender<Submission>,
        to: &mpsc::Sender<Chunk>,
        limit: u64,
    ) -> Result<()> {
        let source = Arc::clone(&self.source);
        let mut fields = Form::default();
        let (part, file) = loop {
            let Some(mut field) = self.next().await? else {
                let words = "there is no file: one part with a file name is wanted";
                return Err(Problem::new(StatusCode::BAD_REQUEST, IssueType::Required, "no-file", words));
            };
            let part = Part::of(&field, fields.charset())?;
            if part.is_file() {
                break (part, field);
            }
            // A browser sends a file field without a chosen file as a part with an empty file name.
            let is_field = part.file_name.is_none();
            if is_field {
                form::check_name(&part.name)?;
            }
            let value = form::text(&mut field, &part, fields.charset(), &source).await?;
            let value = value.map_err(|error| unreadable(&error, &source))?;
            if is_field {
                fields.take(part.name, value)?;
            }
        };
        if about.send(fields.submission(&part, &file, key, by)?).is_err() {
            return Ok(());
        }
        source.expect_file();
        if forward(file, to, &source, limit).await? {
            source.expect_metadata();
            self.read_to_end().await?;
        }
        Ok(())
    }

    /// Reads the form to its end: nothing after the file may change what it is, or for which component.
    async fn read_to_end(&mut self) -> Result<()> {
        let source = Arc::clone(&self.source);
        while let Some(mut field) = self.next().await? {
            let part = Part::of(&field, None)?;
            if part.is_file() {
                let words = "there are two files, and one upload brings one: neither was attached";
                return Err(Problem::bad("two-files", words));
            }
            if part.file_name.is_none() {
                form::check_name(&part.name)?;
                let words =
                    format!("the field `{}` comes after the file, and it goes before: nothing was attached", part.name);
                return Err(Problem::bad("field-after-file", words));
            }
            form::text(&mut field, &part, None, &source).await?.map_err(|error| unreadable(&error, &source))?;
        }
        Ok(())
    }
}

/// Forwards the bytes of the file as they arrive, and returns whether the library took them to the end.
pub(super) async fn forward(
    mut file: Field<'_>,
    to: &mpsc::Sender<Chunk>,
    source: &Source,
    limit: u64,
) -> Result<bool> {
    let mut passed = 0_u64;
    loop {
        let chunk = tokio::select! {
            chunk = in_time(file.chunk()) => chunk?,
            () = to.closed() => return Ok(false),
        };
        let Some(chunk) = chunk.map_err(|error| unreadable(&error, source))? else { return Ok(true) };
        passed = passed.saturating_add(chunk.len() as u64);
        if passed > limit {
            return Err(too_large(limit));
        }
        if to.send(Ok(chunk)).await.is_err() {
            return Ok(false);
        }
    }
}

/// Waits for the client within its time limit.
pub(super) async fn in_time<T>(what: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(IDLE, what).await.map_err(|_| {
        let words = format!("nothing came for {} seconds", IDLE.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, IssueType::Timeout, "timeout", words)
    })
}

pub(super) fn unreadable(error: &MultipartError, source: &Source) -> Problem {
    if source.is_over_limit() {
        let words = "the form fields and the headers of the parts are too long";
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "form-too-large", words);
    }
    Problem::bad("multipart", format!("the form cannot be read: {}", error.body_text()))
}

fn too_large(limit: u64) -> Problem {
    let words = format!("the file has more than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-large", words)
}

/// Returns the resulting component, in the version of FHIR that the client accepts; to a browser, a page.
fn received_answer(
    app: &UpdateServer,
    tenant: &Tenant,
    (headers, for_person): (&HeaderMap, bool),
    received: &Received,
) -> Result {
    let path = app.path(tenant);
    let status = if received.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let accepted: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let component = received.component.to_json();
    let mut answer = match app.fhir(tenant).component_in(&accepted.join(","), &component) {
        _ if for_person => page::received(app, tenant, status, received),
        Some((converted, media_type)) => {
            let mut answer = json(status, converted);
            set(&mut answer, header::CONTENT_TYPE, media_type);
            answer
        }
        None => json(status, component),
    };
    set(&mut answer, header::VARY, "Accept");
    set(&mut answer, header::ETAG, received.version.etag());
    set(&mut answer, header::LAST_MODIFIED, http_date(received.last_updated));
    if let Some(id) = received.component.logical_id() {
        let place = format_args!("{path}/fhir/DeviceComponent/{id}/_history/{}", received.version).to_string();
        set(&mut answer, header::LOCATION, place);
    }
    let state = format_args!("<{path}/updates/{}>; rel=\"describedby\"", received.update.id).to_string();
    set(&mut answer, header::LINK, state);
    Ok(answer)
}

/// Converts the error of a refused update to a problem, with the status that the client acts on.
fn refusal(error: &ReceiveError) -> Problem {
    use StatusCode as S;
    let new = |status, kind, rule| Problem::new(status, kind, rule, error);
    match error {
        ReceiveError::NoSuchDevice { .. } => new(S::NOT_FOUND, IssueType::NotFound, "no-such-device"),
        ReceiveError::ComponentDeleted { .. } => new(S::GONE, IssueType::NotFound, "component-deleted"),
        ReceiveError::Unresolved(unresolved) => unresolvable(unresolved),
        ReceiveError::UnfitTarget(_) => new(S::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, "unfit-target"),
        ReceiveError::DigestMismatch { .. } => new(S::UNPROCESSABLE_ENTITY, IssueType::Value, "digest-mismatch"),
        ReceiveError::TooLarge { .. } => new(S::PAYLOAD_TOO_LARGE, IssueType::TooLong, "too-large"),
        ReceiveError::NotAcceptable(refused) => match refused {
            NotAcceptable::VersionTaken(_) => {
                let words = format!("{error} by `Replace=true`");
                Problem::new(S::CONFLICT, IssueType::Conflict, "version-taken", words)
            }
            NotAcceptable::LowerVersion(_) => {
                let words = format!("{error}: `Downgrade=true` and a `Reason`");
                Problem::new(S::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, "lower-version", words)
            }
            other => new(S::CONFLICT, IssueType::Conflict, other.reason().as_str()),
        },
        ReceiveError::SequenceTooHigh { .. } => new(S::BAD_REQUEST, IssueType::Value, "sequence-too-high"),
        ReceiveError::VersionForm { .. } => new(S::BAD_REQUEST, IssueType::Value, "version-form"),
        ReceiveError::HiddenCharacter { .. } => new(S::BAD_REQUEST, IssueType::Value, "hidden-character"),
        ReceiveError::EmptyFile => new(S::BAD_REQUEST, IssueType::Required, "empty-file"),
        ReceiveError::MediaType { .. } => new(S::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, "media-type"),
        ReceiveError::KeyReused { .. } => new(S::CONFLICT, IssueType::Duplicate, "idempotency-key-reused"),
        ReceiveError::Contended { .. } => {
            let words = format!("{error}: send it again, with the same `Idempotency-Key` if it had one");
            Problem::new(S::SERVICE_UNAVAILABLE, IssueType::LockError, "contended", words).retry_after(1)
        }
        ReceiveError::Ended { reason, .. } => ended(error, *reason),
        ReceiveError::Body(_) => new(S::BAD_REQUEST, IssueType::Incomplete, "file-broke-off"),
        ReceiveError::StoreMismatch(_) => {
            answer::report_fault(error);
            let words = "the store of update files is not that of the ledger: an operator has to look";
            Problem::new(S::SERVICE_UNAVAILABLE, IssueType::Exception, "store-mismatch", words)
        }
        ReceiveError::Resources(source) | ReceiveError::Blobs(source) | ReceiveError::Ledger(source) => {
            Problem::of_store(source, "the update")
        }
        _ => {
            answer::report_fault(error);
            Problem::new(S::INTERNAL_SERVER_ERROR, IssueType::Exception, "fault", "the update was not received")
        }
    }
}

/// Converts the reason of a failed upload to a problem: whether the sender may repeat it, must change it, or must give
/// up.
fn ended(error: &ReceiveError, reason: UploadFailure) -> Problem {
    use StatusCode as S;
    let (status, kind) = match reason {
        // The update was withdrawn on purpose, and no repetition of it is accepted.
        UploadFailure::Withdrawn => (S::GONE, IssueType::NotFound),
        // The request did not end while the service waited for it.
        UploadFailure::UploadLost => (S::REQUEST_TIMEOUT, IssueType::Timeout),
        UploadFailure::DigestMismatch | UploadFailure::SizeMismatch => (S::UNPROCESSABLE_ENTITY, IssueType::Value),
        UploadFailure::TooLarge => (S::PAYLOAD_TOO_LARGE, IssueType::TooLong),
        UploadFailure::Empty => (S::BAD_REQUEST, IssueType::Required),
        UploadFailure::NotAdmitted | UploadFailure::LowerVersion => (S::UNPROCESSABLE_ENTITY, IssueType::BusinessRule),
        // The current state of the component, or an update that it has accepted, prevents this one.
        _ => (S::CONFLICT, IssueType::Conflict),
    };
    Problem::new(status, kind, reason.as_str(), error)
}

/// Number of candidates that a message of the library lists.
const SHOWN: usize = 12;

/// Returns the problem of a selector that matches no component or several: all candidates are listed, as the sender has
/// to choose.
fn unresolvable(unresolved: &SelectError) -> Problem {
    let rule = match unresolved {
        SelectError::Ambiguous { .. } => "ambiguous-target",
        _ => "no-such-component",
    };
    let candidates = unresolved.candidates();
    let words = match candidates.len() {
        0 => unresolved.to_string(),
        1..=SHOWN => format!("{unresolved}; name it in the field `Component`"),
        _ => {
            // The message of the library lists only the first ones.
            let all: Vec<String> = candidates.iter().map(ToString::to_string).collect();
            format!("{unresolved}; name it in the field `Component`, all are: {}", all.join(", "))
        }
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, IssueType::BusinessRule, rule, words)
}

/// The receiving end of the chunks of a file, as a stream for the library.
pub(super) struct Chunks(pub(super) mpsc::Receiver<Chunk>);

impl Stream for Chunks {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
