//! Faults of blob engines: stores that fail after the effect, and servers with such answers.

use super::*;
use fhir_devices::backend::object_store::driver::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures_core::Stream;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Mutex;

type Answer<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;
type Many<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A put is done, and its answer is lost.
    LosePut,
    /// A put is not done, and its outcome is unknown.
    DropPut,
    /// A copy is done, and its answer is lost.
    LoseCopy,
    /// A copy is not done, and its outcome is unknown.
    DropCopy,
    /// Conditions on copies and puts are not supported, as on some S3 servers.
    NoConditions,
    /// The first put meets another one of the same object.
    Busy,
    /// A stream ends early.
    CutStream,
    /// A part of an upload is refused.
    DropPart,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Fault,
    once: Mutex<bool>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    fn objects(fault: Fault) -> Objects {
        let store = Self { inner: InMemory::new(), fault, once: Mutex::new(true) };
        Objects::new(Arc::new(store)).with_part_size(NonZeroUsize::new(16).unwrap())
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

fn lost() -> Error {
    Error::Generic { store: "Faulty", source: "the connection was reset".into() }
}

fn not_supported() -> Error {
    Error::NotSupported { source: "no conditions".into() }
}

#[derive(Debug)]
struct NoParts;

impl MultipartUpload for NoParts {
    fn put_part(&mut self, _: PutPayload) -> Answer<'static, Result<()>> {
        Box::pin(async { Err(lost()) })
    }

    fn complete<'s, 'f>(&'s mut self) -> Answer<'f, Result<PutResult>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async { Err(lost()) })
    }

    fn abort<'s, 'f>(&'s mut self) -> Answer<'f, Result<()>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async { Ok(()) })
    }
}

impl ObjectStore for Faulty {
    fn put_opts<'s, 'p, 'f>(
        &'s self,
        path: &'p Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Answer<'f, Result<PutResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            use fhir_devices::backend::object_store::driver::PutMode;
            match self.fault {
                Fault::DropPut => return Err(lost()),
                Fault::NoConditions if options.mode == PutMode::Create => return Err(not_supported()),
                Fault::Busy if std::mem::take(&mut *self.once.lock().unwrap()) => {
                    return Err(Error::AlreadyExists { path: path.to_string(), source: "in flight".into() });
                }
                _ => {}
            }
            let put = self.inner.put_opts(path, payload, options).await;
            if self.is(Fault::LosePut) { Err(lost()) } else { put }
        })
    }

    fn put_multipart_opts<'s, 'p, 'f>(
        &'s self,
        path: &'p Path,
        options: PutMultipartOptions,
    ) -> Answer<'f, Result<Box<dyn MultipartUpload>>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        match self.fault {
            Fault::DropPart => Box::pin(async { Ok(Box::new(NoParts) as Box<dyn MultipartUpload>) }),
            _ => self.inner.put_multipart_opts(path, options),
        }
    }

    fn get_opts<'s, 'p, 'f>(&'s self, path: &'p Path, options: GetOptions) -> Answer<'f, Result<GetResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let mut found = self.inner.get_opts(path, options).await?;
            if self.is(Fault::CutStream) {
                let (meta, range) = (found.meta.clone(), found.range.clone());
                let start = found.bytes().await?.slice(..1);
                let whole = InMemory::new();
                whole.put(path, start.into()).await?;
                found = whole.get_opts(path, GetOptions::default()).await?;
                (found.meta, found.range) = (meta, range);
            }
            Ok(found)
        })
    }

    fn delete_stream(&self, paths: Many<Result<Path>>) -> Many<Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> Many<Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'s, 'p, 'f>(&'s self, prefix: Option<&'p Path>) -> Answer<'f, Result<ListResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'a, 'b, 'f>(&'s self, from: &'a Path, to: &'b Path, options: CopyOptions) -> Answer<'f, Result<()>>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            use fhir_devices::backend::object_store::driver::CopyMode;
            match self.fault {
                Fault::DropCopy => return Err(lost()),
                Fault::NoConditions if options.mode == CopyMode::Create => return Err(not_supported()),
                _ => {}
            }
            let copied = self.inner.copy_opts(from, to, options).await;
            if self.is(Fault::LoseCopy) { Err(lost()) } else { copied }
        })
    }
}

async fn put(objects: &Objects, tenant: &Tenant, text: &'static str) -> fhir_devices::store::Result<PutOutcome> {
    let blob = BlobRef::of(text.as_bytes());
    let mut writer = objects.begin(tenant).await.unwrap();
    writer.write(text.into()).await?;
    writer.commit(blob, Generation(1)).await
}

const SMALL: &str = "firmware";
const LARGE: &str = "firmware that is larger than one part of this store, and then some";

#[test]
fn commit_with_lost_response_is_resolved_by_head() {
    for (fault, text) in [(Fault::LosePut, SMALL), (Fault::LoseCopy, LARGE)] {
        let (objects, t) = (Faulty::objects(fault), fresh());
        assert_eq!(RUNTIME.block_on(put(&objects, &t, text)).unwrap(), PutOutcome::Stored, "{fault:?}");
    }
}

#[test]
fn pending_commit_is_indeterminate_and_keeps_staging() {
    for (fault, text, staged) in [(Fault::DropPut, SMALL, 0), (Fault::DropCopy, LARGE, 1)] {
        let (objects, t) = (Faulty::objects(fault), fresh());
        let error = RUNTIME.block_on(put(&objects, &t, text)).unwrap_err();
        assert_eq!(error.applied(), Applied::Unknown, "{fault:?}: {error:?}");
        RUNTIME.block_on(async {
            assert_eq!(keys(&objects, &t).await, [], "{fault:?}");
            assert_eq!(super::staged(&objects, &t).await, staged, "{fault:?}");
        });
    }
}

#[test]
fn put_without_preconditions_checks_first() {
    let (objects, t) = (Faulty::objects(Fault::NoConditions), fresh());
    for text in [SMALL, LARGE] {
        assert_eq!(RUNTIME.block_on(put(&objects, &t, text)).unwrap(), PutOutcome::Stored);
        assert_eq!(RUNTIME.block_on(put(&objects, &t, text)).unwrap(), PutOutcome::AlreadyPresent);
    }
    assert_eq!(RUNTIME.block_on(super::staged(&objects, &t)), 0);
}

#[test]
fn put_refused_by_a_concurrent_one_is_retried() {
    let (objects, t) = (Faulty::objects(Fault::Busy), fresh());
    assert_eq!(RUNTIME.block_on(put(&objects, &t, SMALL)).unwrap(), PutOutcome::Stored);
}

#[test]
fn short_stream_fails() {
    let (objects, t) = (Faulty::objects(Fault::CutStream), fresh());
    RUNTIME.block_on(async {
        put(&objects, &t, SMALL).await.unwrap();
        let read = objects.get(&t, &BlobRef::of(SMALL.as_bytes()).key(Generation(1)), None).await.unwrap();
        let error = stream::collect(read.body, 100).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    });
}

#[test]
fn writer_with_a_failed_part_can_only_abort() {
    let (objects, t) = (Faulty::objects(Fault::DropPart), fresh());
    RUNTIME.block_on(async {
        let mut writer = objects.begin(&t).await.unwrap();
        assert!(writer.write(LARGE.into()).await.is_err());
        assert!(matches!(writer.write("more".into()).await, Err(StoreError::Invalid { .. })));
        assert!(matches!(writer.commit(BlobRef::of(b"x"), Generation(1)).await, Err(StoreError::Invalid { .. })));
    });
}

/// A server on the loopback with the same answer to every request, or none. Each answer closes its connection.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Said, so that no client keeps a connection that is about to be closed.
    let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while lines.read_line(&mut line).is_ok_and(|read| read > 2) {
                let lower = line.to_ascii_lowercase();
                length = lower.strip_prefix("content-length: ").map_or(length, |n| n.trim().parse().unwrap());
                line.clear();
            }
            let _ = lines.read_exact(&mut vec![0; length]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// Returns a store on S3 behind such a server, without retries.
fn at(endpoint: &str) -> Objects {
    use fhir_devices::backend::object_store::Connector;
    use fhir_devices::backend::object_store::driver::{RetryConfig, aws::AmazonS3Builder};
    let s3 = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name("fhir-devices")
        .with_region("us-east-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_allow_http(true)
        .with_http_connector(Connector::new())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    Objects::new(Arc::new(s3.build().unwrap()))
}

fn errors_of(objects: &Objects) -> (StoreError, StoreError) {
    let (t, key) = (fresh(), BlobRef::of(SMALL.as_bytes()).key(Generation(1)));
    RUNTIME.block_on(async {
        let read = objects.get(&t, &key, None).await.unwrap_err();
        (read, put(objects, &t, SMALL).await.unwrap_err())
    })
}

#[test]
fn server_answers_map_to_store_errors() {
    use StoreError::{Denied, Indeterminate, Throttled, Unavailable};
    let (read, written) = errors_of(&at(&server("HTTP/1.1 429 Slow Down\r\ncontent-length: 0\r\n\r\n")));
    assert!(matches!((&read, &written), (Throttled { .. }, Throttled { .. })), "{read:?} {written:?}");
    let (read, written) = errors_of(&at(&server("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")));
    assert!(matches!((&read, &written), (Throttled { .. }, Throttled { .. })), "{read:?} {written:?}");
    let (read, written) = errors_of(&at(&server("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")));
    assert!(matches!((&read, &written), (Unavailable { .. }, Indeterminate { .. })), "{read:?} {written:?}");
    let (read, written) = errors_of(&at(&server("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")));
    assert!(matches!((&read, &written), (Denied { .. }, Denied { .. })), "{read:?} {written:?}");
    // It reads the request, and hangs up.
    let (read, written) = errors_of(&at(&server("")));
    assert!(matches!((&read, &written), (Unavailable { .. }, Indeterminate { .. })), "{read:?} {written:?}");
    // Nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (read, written) = errors_of(&at(&format!("http://{closed}")));
    assert!(matches!((&read, &written), (Unavailable { .. }, Unavailable { .. })), "{read:?} {written:?}");
}

/// Leaves an object below `staging`, as a process does that ends between the upload and the copy.
pub(super) async fn leave_staged(objects: &Objects, prefix: &str, tenant: &Tenant) {
    let path = Path::from(format!("{prefix}{tenant}/staging/left"));
    objects.store().put(&path, "firmw".into()).await.unwrap();
}

/// Returns status and body of a URL, over a connection of its own.
pub(super) async fn fetch(url: &url::Url) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut connection = tokio::net::TcpStream::connect(&host).await.unwrap();
    let path = &url[url::Position::BeforePath..];
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
