//! What is told of a request whose head cannot be read: the library that speaks HTTP answers it by itself, without a body.

use super::connections::{Connection, Phase};
use crate::issue::IssueType;
use crate::primitive::CanonicalBase;
use crate::rest;
use axum::body::Bytes;
use bytes::Buf as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How a head without a body says so.
const NO_BODY: &str = "\r\ncontent-length: 0\r\n";

/// A stream of a connection on which the refusal of a head has an OperationOutcome.
pub(super) struct RefusedHeads<S> {
    inner: S,
    connection: Arc<Connection>,
    canonical: CanonicalBase,
    /// What is left of a refusal to be written.
    left: Bytes,
}

impl<S: AsyncWrite + Unpin> RefusedHeads<S> {
    pub(super) fn new(inner: S, connection: Arc<Connection>, canonical: CanonicalBase) -> Self {
        Self { inner, connection, canonical, left: Bytes::new() }
    }

    /// Writes what is left of a refusal.
    fn write_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is a refusal of a head, and gives whether it was one.
    fn takes(&mut self, head: &[u8]) -> bool {
        // While a request is answered, the answer is the service's own.
        if self.connection.phase().0 == Phase::Request {
            return false;
        }
        let told = refusal(head, &self.canonical);
        told.map(|told| self.left = told.into()).is_some()
    }
}

/// Returns the answer with an outcome to a head that was refused without one.
fn refusal(head: &[u8], canonical: &CanonicalBase) -> Option<String> {
    let head = std::str::from_utf8(head).ok().filter(|head| head.ends_with("\r\n\r\n"))?;
    let (before, behind) = head.split_once(NO_BODY)?;
    let status = before.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (kind, rule, words) = match status {
        400 => (IssueType::Structure, "malformed-head", "the head of the request is not HTTP/1.1"),
        414 => (IssueType::TooLong, "address-too-long", "the address is too long: post the search to `_search`"),
        431 => (IssueType::TooLong, "head-too-large", "the head of the request has too many bytes or too many headers"),
        _ => return None,
    };
    let body = rest::Problem::new(status, kind, rule, words).under(canonical).into_response().body;
    let body = String::from_utf8_lossy(&body);
    let length = body.len();
    Some(format!(
        "{before}\r\ncontent-type: {}; charset=utf-8\r\ncontent-length: {length}\r\n{behind}{body}",
        rest::FHIR_JSON
    ))
}

impl<S: AsyncRead + Unpin> AsyncRead for RefusedHeads<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RefusedHeads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.write_left(cx))?;
        if self.takes(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_left(cx))?;
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(head), None) = (filled.next(), filled.next())
            && self.takes(head)
        {
            return Poll::Ready(Ok(head.len()));
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::OperationOutcome;

    #[test]
    fn refusal_of_a_head_has_an_outcome_of_its_length() {
        let canonical = CanonicalBase::default();
        for (status, rule) in [(400, "malformed-head"), (414, "address-too-long"), (431, "head-too-large")] {
            let bare = format!("HTTP/1.1 {status} Words\r\nconnection: close{NO_BODY}date: now\r\n\r\n");
            let told = refusal(bare.as_bytes(), &canonical).unwrap();
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} Words\r\n")) && head.ends_with("date: now"));
            let outcome = OperationOutcome::from_json(body.as_bytes()).unwrap();
            assert!(outcome.to_json().contains(rule));
        }
        for other in
            ["HTTP/1.1 304 x\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 414 x\r\ncontent-length: 5\r\n\r\nabcde", "x"]
        {
            assert_eq!(refusal(other.as_bytes(), &canonical), None);
        }
    }
}
