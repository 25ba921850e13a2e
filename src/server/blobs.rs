//! Downloads of update files, streamed, whole or by range.

use super::answer::{self, Answer, Problem, Result, set};
use super::place::{AtBlob, client_has, one};
use super::{Shared, UpdateServer, maintenance};
use crate::store::{BlobKey, BlobRef, StoreError, Tenant};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use std::ops::Range;

/// `GET` and `HEAD` of a file.
///
/// The URL contains the digest, so that the bytes never change, and a client may cache them forever. The bytes are
/// checked against the digest while they are sent: the answer breaks off before its end where they differ. A range is
/// not checked: a client that assembles ranges checks the whole against the digest in the component.
pub(super) async fn download(State(app): State<Shared>, AtBlob(tenant, key): AtBlob, headers: HeaderMap) -> Result {
    give(&app, &tenant, &key, &headers).await
}

/// Answers with a file whose key is known.
pub(super) async fn give(app: &UpdateServer, tenant: &Tenant, key: &BlobKey, headers: &HeaderMap) -> Result {
    let problem = |error: StoreError| Problem::of_store(&error, format_args!("file {key}"));
    // A file that is known to be damaged, or whose length differs from the ledger's, is not sent.
    let blob = app.updates.inspect(tenant, key).await.map_err(problem)?;
    maintenance::remember_tenant(app, tenant).await;
    let tag = format!("\"{}\"", key.digest);
    if client_has(headers, &tag) {
        let mut answer = answer::empty(StatusCode::NOT_MODIFIED);
        describe(&mut answer, &tag);
        return Ok(answer);
    }
    let kind = media_type(app, tenant, key).await;
    // A range of a file other than the one that the client began with is useless.
    let unchanged = one(headers, &header::IF_RANGE).is_none_or(|known| known == tag);
    let range = match one(headers, &header::RANGE).filter(|_| unchanged).map(|range| wanted(range, &blob)) {
        None | Some(Wanted::Whole) => None,
        Some(Wanted::Part(range)) => Some(range),
        Some(Wanted::Nothing) => {
            let error = StoreError::out_of_range(blob.size);
            let mut answer = problem(error).into_response();
            set(&mut answer, header::CONTENT_RANGE, format_args!("bytes */{}", blob.size));
            return Ok(answer);
        }
    };
    let partial = range.is_some();
    let read = app.updates.download(tenant, key, range).await.map_err(problem)?;
    let Range { start, end } = read.range;
    let mut answer = Answer::new(Body::from_stream(read.body));
    describe(&mut answer, &tag);
    set(&mut answer, header::CONTENT_TYPE, kind);
    set(&mut answer, header::CONTENT_LENGTH, end.saturating_sub(start));
    if partial {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        // A range cannot be checked against the digest of the whole, so it must not be cached.
        set(&mut answer, header::CACHE_CONTROL, "no-store");
        let last = end.saturating_sub(1);
        set(&mut answer, header::CONTENT_RANGE, format_args!("bytes {start}-{last}/{}", read.blob.size));
    }
    Ok(answer)
}

fn describe(answer: &mut Answer, tag: &str) {
    set(answer, header::ETAG, tag);
    set(answer, header::ACCEPT_RANGES, "bytes");
    set(answer, header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    // Whatever media type the sender stated, no browser must execute the file.
    set(answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(answer, header::CONTENT_DISPOSITION, "attachment");
    set(answer, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
}

/// Returns the media type that the senders of the file stated. Where they disagree, or the lookup fails, it is
/// `application/octet-stream`.
async fn media_type(app: &UpdateServer, tenant: &Tenant, key: &BlobKey) -> String {
    let said = app.updates.media_type(tenant, key).await.unwrap_or_else(|error| {
        tracing::warn!(%tenant, %key, %error, "the type of a file cannot be looked up");
        None
    });
    said.map_or_else(|| "application/octet-stream".to_owned(), |code| code.to_string())
}

/// The request of a `Range` header.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// Reads one range of bytes. Several ranges, other units and malformed ranges are ignored, as HTTP allows.
fn wanted(header: &str, blob: &BlobRef) -> Wanted {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1),
        (Some(first), None) if last.trim().is_empty() => first..u64::MAX,
        (None, Some(suffix)) if first.trim().is_empty() => {
            if suffix == 0 {
                return Wanted::Nothing;
            }
            blob.size.saturating_sub(suffix)..u64::MAX
        }
        _ => return Wanted::Whole,
    };
    match blob.clip(Some(range)) {
        Ok(range) => Wanted::Part(range),
        Err(_) => Wanted::Nothing,
    }
}

/// Returns a number of bytes; a number that overflows is beyond the end of every file.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_clipped_at_the_end_and_refused_beyond() {
        let blob = BlobRef::of(b"0123456789");
        for (header, meant) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=8-99999999999999999999999", Wanted::Part(8..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=0-3", Wanted::Whole),
            ("bytes=+1-3", Wanted::Whole),
        ] {
            assert_eq!(wanted(header, &blob), meant, "{header}");
        }
        assert_eq!(wanted("bytes=0-", &BlobRef::of(b"")), Wanted::Nothing);
    }
}
