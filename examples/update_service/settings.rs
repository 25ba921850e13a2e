//! The command-line options.

use fhir_devices::convert::Version;
use fhir_devices::ddi::DEFAULT_POLLING;
use fhir_devices::primitive::CanonicalBase;
use fhir_devices::publish::RegionId;
use fhir_devices::rest::{Handling, Limits, ReferencedDeletion};
use fhir_devices::server::{ConnectionLimits, DEFAULT_MAX_UPLOAD, Retention};
use fhir_devices::service::{MissingReferences, SweepRules, UnknownReferences};
use fhir_devices::store::Tenant;
use fhir_devices::subscription::EndpointRules;
use lexopt::{Arg, ValueExt};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tracing::Level;
use url::{Host, Url};

pub(crate) const USAGE: &str = "usage: update_service [OPTION...]

where and for whom
  --listen ADDR        an address of this machine, with a port (default 127.0.0.1:8080; port 0 takes any free one).
                       One that can be reached from other machines needs --tls-cert, --tls-key, and --tokens or --oidc
  --base-url URL       where clients find the service, if that is not the address it listens at. It is needed where
                       --listen names no address, as 0.0.0.0 and [::] do
  --cors-origin URL    the origin of pages that may use the service beside its own (repeatable), as https://app.example
  --cdn-url URL        where clients find the update files, if that is elsewhere: a cache in front of this service. The
                       file that is at BASE/blobs/... is fetched from URL/blobs/...
  --tls-cert FILE      the certificates of the service, PEM, its own first
  --tls-key FILE       their private key, PEM
  --tokens FILE        who may ask, one a line: a token (or `sha256:` and its digest), a blank, and the tenants with
                       commas between them, or `*`; then perhaps `as NAME` (for the audit records), `may ROLE, ..` (of read,
                       write, upload, release, approve, device, operate) and `until 2027-01-31`. It is read again when it changes. Programs send
                       the token as `Authorization: Bearer`, browsers as a password, devices of hawkBit's interface as `TargetToken`
                       (`as device/ID may device`) or `GatewayToken`
  --oidc FILE          sign-in by OpenID Connect (feature `oidc`), with or without --tokens: people sign in on the pages, programs
                       send access tokens of the provider. The lines of the file stand in the manual, `sign_in`

where things are kept (by default everything is in memory, and ends with the service)
  --data DIR           a folder of this machine (needs a build with the feature `redb`)
  --postgres URL       the resources in a PostgreSQL database (feature `postgres`); with `sslmode=verify-full` in its
                       address by TLS, which another machine than this one has to be reached by
  --postgres-ca FILE   the certificates that its own must be of, PEM (default: those that this system trusts)
  --cosmos FILE        the resources in Azure Cosmos DB for NoSQL (feature `cosmos`): a file with the lines `endpoint = URL`,
                       `key = ..`, `region = ..`, `database = ..` and `container = ..`; the container is made where there is none
  --fhir URL           the resources in a FHIR STU3 server of somebody else's, at an address in which `{tenant}` stands for
                       the tenant (feature `fhir-http`); update files and ledger stay here. It is tried out at the start, with
                       resources that are deleted again, and refused where it lacks what is needed
  --fhir-version stu3|r4  the version of FHIR that it speaks (default stu3). In R4 a component is a Device with a tag
  --fhir-probe TENANT  the tenant in which it is tried out (default demo)
  --fhir-token FILE    the token that the server wants, as `Authorization: Bearer`; read again for each request
  --fhir-cert FILE     the certificate that this service shows to the server, PEM, with its private key
  --fhir-ca FILE       the certificates that its own must be of, PEM (default: those that this system trusts)
  --blobs URL          the update files in an object store: s3://, az://, gs:// or file:// (feature `object-store`)
  --seal-keys FILE     the keys by which the secrets of Subscriptions are sealed at rest (feature `encryption`), one a line: a
                       name, a blank and 64 hexadecimal digits. The first one seals, all of them open

rollouts
  --region NAME=slots|iot-hub:FILE|mqtt:URL  a region of devices (repeatable; default local=slots). Those of `slots` ask this
                       service for what they are offered; those of `iot-hub` have twins in an Azure IoT Hub (feature `iot-hub`), whose
                       file has the line `connection = HostName=..;SharedAccessKeyName=..;SharedAccessKey=..`, and perhaps `tenant = ..`
                       and `ca = FILE`; those of `mqtt` subscribe at a broker, mqtts://HOST[:PORT] or mqtt: on this machine (feature
                       `mqtt`). A device names its region by a tag; else it is in the first one by name
  --region-file NAME=FILE  how this service signs in at the broker of a region (repeatable): lines `user = ..`, `password = ..`,
                       `ca = FILE`, `certificate = FILE` (PEM, with its private key) and `prefix = ..`, as far as they are needed
  --device-polling SECONDS  how often devices of hawkBit's interface poll (default 300); each is told up to a fifth more

update files
  --adopt-store        make a store of update files that is not the ledger's its own, as after a restore. Files that the
                       ledger does not know go into quarantine. Without it the service ends with status 4
  --sweep-grace HOURS  how long a file that the ledger does not know is watched before its quarantine (default 24)
  --quarantine DAYS    how long it stays in quarantine before it is deleted (default 7)
  --sweep-limit FILES  the most such files that are deleted in a round; where more are due, none is (default 100)
  --scrub-every DAYS   how often every file is read and held against its digest (default 7; 0 for never)

for how long things are kept
  --keep-superseded N  superseded updates in each component (default 3; 0 counts as 1); older ones are retired
  --keep-withdrawn N   days for which a component shows a withdrawn update (default 30)
  --keep-ended N       days for which the record of an upload that ended is kept, with its idempotency key (default 30)
  --missing-references reattach|lost  what becomes of an update that somebody else took out of its component (default
                       reattach: it is written again)
  --unknown-references remove|leave  what becomes of an update in a component that the service does not know (default
                       remove)
  --keep-aborted N     the same for an upload whose bytes never came (default 1)
  --upload-timeout SECONDS  how long an upload may make no progress before it counts as aborted (default 3600). One whose
                       connection broke off waits that long for its bytes
  --keep-files HOURS   hours for which a file is kept that no update needs any more (default 1)
  --keep-versions N    versions of each resource (default 1000; 0 keeps all), where the store can forget

how many clients may wait, and for how long (manual: Operating it)
  --max-connections N              connections at a time (default: half of the free file descriptors, 10000 at most)
  --max-connections-per-address N  those of one client address (default: half of them)
  --handshake-timeout SECONDS      for the TLS handshake (default 10)
  --header-timeout SECONDS         for the head of a request (default 15)
  --body-timeout SECONDS           without a byte of a body, or of an answer that is sent (default 30)
  --idle-timeout SECONDS           between two requests (default 60)
  --min-rate BYTES                 a second, of bodies and answers, while the service waits for the client (default 256)

what clients are answered
  --handling lenient|strict  what becomes of search parameters that are not known, where the client does not say by `Prefer`
                       (default lenient: they are passed over, and named in the answer)
  --referenced warn|refuse   what becomes of a DELETE of a resource that others refer to (default warn)
  --subscriptions off|public|local  whether clients may have themselves told of changes (default off): `public` at public
                       hosts by https alone, `local` also by http, and at this machine and in its networks

settings from elsewhere
  --settings FILE      a file of settings, one `DEVICE_UPDATES_NAME=VALUE` a line. Each option here has such a name, also in the
                       environment: DEVICE_UPDATES_TLS_CERT is --tls-cert; one without a value is `true`, and one that may come
                       several times has blanks between. The command line goes before the environment, and that before the file

and
  --canonical-base URL the URLs of this library's own extensions and code systems begin with it (default: a
                       host below `.invalid`, which nobody can own). What was written under another base is still read
  --limit NAME=N       what a request may cost (repeatable): entries, answer-bytes, page-bytes, findings, values, parameters,
                       includes, steps, filtered-bytes, read-memory, operations, patched-bytes; and request-memory, the
                       bytes for all FHIR requests together. The defaults stand in the manual, `bounds`
  --max-upload BYTES   the largest update file that is taken (default 1073741824)
  --no-demo            without the small fleet of the tenant `demo`
  --log LEVEL          error, warn, info (default), debug or trace, on standard error
  --log-format FORMAT  text (default) or json";

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) base_url: Option<String>,
    pub(crate) cdn_url: Option<Url>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) handling: Handling,
    pub(crate) referenced: ReferencedDeletion,
    pub(crate) subscriptions: Option<EndpointRules>,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) tokens: Option<PathBuf>,
    pub(crate) oidc: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) postgres: Option<String>,
    pub(crate) postgres_ca: Option<PathBuf>,
    pub(crate) cosmos: Option<PathBuf>,
    pub(crate) fhir: Option<ForeignServer>,
    pub(crate) blobs: Option<String>,
    pub(crate) seal_keys: Option<PathBuf>,
    pub(crate) canonical: CanonicalBase,
    pub(crate) missing: MissingReferences,
    pub(crate) unknown: UnknownReferences,
    pub(crate) keep: Retention,
    pub(crate) upload_timeout: Option<Duration>,
    pub(crate) max_upload: u64,
    pub(crate) connections: ConnectionLimits,
    pub(crate) limits: Limits,
    pub(crate) request_memory: Option<usize>,
    pub(crate) demo: bool,
    pub(crate) adopt_store: bool,
    pub(crate) sweep: SweepRules,
    pub(crate) scrub_every: Option<Duration>,
    pub(crate) regions: Vec<(RegionId, Reached)>,
    pub(crate) region_files: BTreeMap<RegionId, PathBuf>,
    pub(crate) device_polling: Duration,
    pub(crate) log: Level,
    pub(crate) log_json: bool,
}

/// Another FHIR server, which stores the resources.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "fhir-http"), allow(dead_code, reason = "the build has no client for it"))]
pub(crate) struct ForeignServer {
    /// The URL, with `{tenant}` for the tenant.
    pub(crate) url: String,
    pub(crate) version: Version,
    pub(crate) probe: Tenant,
    pub(crate) token: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) roots: Option<PathBuf>,
}

/// How the devices of a region are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// They ask this service.
    Slots,
    /// By an Azure IoT Hub, whose connection string is in this file.
    IotHub(PathBuf),
    /// By an MQTT broker.
    Mqtt(String),
}

/// Parses a region, and how its devices are reached.
fn region(text: &str) -> Result<(RegionId, Reached), String> {
    // An address may have a password in it, by mistake.
    let wrong = || {
        let name = text.split('=').next().unwrap_or_default();
        format!("`{name}=..` is no region, wanted NAME=slots, NAME=iot-hub:FILE or NAME=mqtt:URL")
    };
    let (name, how) = text.split_once('=').ok_or_else(wrong)?;
    let reached = match how.split_once(':') {
        None if how == "slots" => Reached::Slots,
        Some(("iot-hub", file)) if !file.is_empty() => Reached::IotHub(file.into()),
        Some(("mqtt", url)) if !url.is_empty() => Reached::Mqtt(url.to_owned()),
        _ => return Err(wrong()),
    };
    Ok((name.parse().map_err(|error| format!("{error}"))?, reached))
}

/// A region, and the file of its broker.
fn region_file(text: &str) -> Result<(RegionId, PathBuf), String> {
    let pair = text.split_once('=').filter(|(_, file)| !file.is_empty());
    let (name, file) = pair.ok_or_else(|| format!("`{text}` names no file, wanted NAME=FILE"))?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, file.into()))
}

/// Parses the arguments; `None` asks for help.
pub(crate) fn read(given: impl Iterator<Item = impl Into<OsString>>) -> Result<Option<Settings>, String> {
    let mut settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
        base_url: None,
        cdn_url: None,
        cors_origins: Vec::new(),
        handling: Handling::default(),
        referenced: ReferencedDeletion::default(),
        subscriptions: None,
        tls: None,
        tokens: None,
        oidc: None,
        data: None,
        postgres: None,
        postgres_ca: None,
        cosmos: None,
        fhir: None,
        blobs: None,
        seal_keys: None,
        canonical: CanonicalBase::default(),
        missing: MissingReferences::default(),
        unknown: UnknownReferences::default(),
        keep: Retention::default(),
        upload_timeout: None,
        max_upload: DEFAULT_MAX_UPLOAD,
        connections: ConnectionLimits::default(),
        limits: Limits::default(),
        request_memory: None,
        demo: true,
        adopt_store: false,
        sweep: SweepRules::default(),
        scrub_every: Some(Duration::from_secs(7 * 86_400)),
        regions: Vec::new(),
        region_files: BTreeMap::new(),
        device_polling: DEFAULT_POLLING,
        log: Level::INFO,
        log_json: false,
    };
    let (mut certificate, mut key) = (None, None);
    let (mut fhir, mut version, mut probe, mut fhir_token, mut fhir_cert, mut fhir_ca) =
        (None, None, None, None, None, None);
    let mut given = lexopt::Parser::from_args(given);
    while let Some(argument) = given.next().map_err(|error| error.to_string())? {
        let name = match argument {
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Value(text) => return Err(format!("`{}` is not known", text.display())),
        };
        let mut value = || given.value().and_then(ValueExt::string).map_err(|_| format!("`{name}` wants a value"));
        match name.as_str() {
            "--listen" => settings.listen = listen(&value()?)?,
            "--base-url" => settings.base_url = Some(base_url(value()?)?),
            "--device-polling" => settings.device_polling = Duration::from_secs(whole(&value()?)?.into()),
            "--region" => settings.regions.push(region(&value()?)?),
            "--region-file" => settings.region_files.extend([region_file(&value()?)?]),
            "--cors-origin" => settings.cors_origins.push(base_url(value()?)?),
            "--handling" => {
                settings.handling = match value()?.as_str() {
                    "lenient" => Handling::Lenient,
                    "strict" => Handling::Strict,
                    other => return Err(format!("`{other}` is not a rule, only `lenient` and `strict` are")),
                };
            }
            "--referenced" => {
                settings.referenced = match value()?.as_str() {
                    "warn" => ReferencedDeletion::Warn,
                    "refuse" => ReferencedDeletion::Refuse,
                    other => return Err(format!("`{other}` is not a rule, only `warn` and `refuse` are")),
                };
            }
            "--subscriptions" => {
                settings.subscriptions = match value()?.as_str() {
                    "off" => None,
                    "public" => Some(EndpointRules::default()),
                    "local" => Some(EndpointRules::default().allow_http().allow_private()),
                    other => return Err(format!("`{other}` is not a rule, only `off`, `public` and `local` are")),
                };
            }
            "--cdn-url" => settings.cdn_url = Some(cdn_url(&value()?)?),
            "--tls-cert" => certificate = Some(PathBuf::from(value()?)),
            "--tls-key" => key = Some(PathBuf::from(value()?)),
            "--tokens" => settings.tokens = Some(value()?.into()),
            "--seal-keys" => settings.seal_keys = Some(value()?.into()),
            "--oidc" => settings.oidc = Some(value()?.into()),
            "--data" => settings.data = Some(value()?.into()),
            "--postgres" => settings.postgres = Some(value()?),
            "--postgres-ca" => settings.postgres_ca = Some(value()?.into()),
            "--cosmos" => settings.cosmos = Some(value()?.into()),
            "--fhir" => fhir = Some(fhir_url(value()?)?),
            "--fhir-version" => {
                version = Some(match value()?.as_str() {
                    "stu3" => Version::Stu3,
                    "r4" => Version::R4,
                    other => return Err(format!("`{other}` is not offered, only `stu3` and `r4` are")),
                });
            }
            "--fhir-probe" => probe = Some(value()?.parse::<Tenant>().map_err(|error| error.to_string())?),
            "--fhir-token" => fhir_token = Some(PathBuf::from(value()?)),
            "--fhir-cert" => fhir_cert = Some(PathBuf::from(value()?)),
            "--fhir-ca" => fhir_ca = Some(PathBuf::from(value()?)),
            "--blobs" => settings.blobs = Some(value()?),
            "--canonical-base" => {
                settings.canonical = CanonicalBase::new(&value()?).map_err(|error| error.to_string())?;
            }
            "--keep-superseded" => settings.keep.superseded = whole(&value()?)?,
            "--keep-withdrawn" => settings.keep.withdrawn = days(&value()?)?,
            "--keep-ended" => settings.keep.ended = days(&value()?)?,
            "--missing-references" => {
                settings.missing = match value()?.as_str() {
                    "reattach" => MissingReferences::Reattach,
                    "lost" => MissingReferences::MarkLost,
                    other => return Err(format!("`{other}` is not a rule, only `reattach` and `lost` are")),
                };
            }
            "--unknown-references" => {
                settings.unknown = match value()?.as_str() {
                    "remove" => UnknownReferences::Remove,
                    "leave" => UnknownReferences::Leave,
                    other => return Err(format!("`{other}` is not a rule, only `remove` and `leave` are")),
                };
            }
            "--keep-files" => settings.keep.files = hours(&value()?)?,
            "--keep-versions" => settings.keep.versions = whole(&value()?)?,
            "--upload-timeout" => settings.upload_timeout = Some(Duration::from_secs(whole(&value()?)?.into())),
            "--keep-aborted" => settings.keep.aborted = days(&value()?)?,
            "--limit" => limit(&mut settings, &value()?)?,
            "--max-upload" => {
                let text = value()?;
                settings.max_upload = text.parse().map_err(|_| format!("`{text}` is not a number of bytes"))?;
            }
            "--adopt-store" => settings.adopt_store = true,
            "--sweep-grace" => {
                let grace = hours(&value()?)?;
                settings.sweep = settings.sweep.with_grace(grace);
            }
            "--quarantine" => {
                let quarantine = days(&value()?)?;
                settings.sweep = settings.sweep.with_quarantine(quarantine);
            }
            "--sweep-limit" => settings.sweep = settings.sweep.with_max_per_round(whole(&value()?)? as usize),
            "--scrub-every" => {
                let every = Duration::from_secs(86_400).saturating_mul(whole(&value()?)?);
                settings.scrub_every = Some(every).filter(|every| !every.is_zero());
            }
            "--no-demo" => settings.demo = false,
            "--log" => {
                let text = value()?;
                settings.log = text.parse().map_err(|_| format!("`{text}` is not a level of the log"))?;
            }
            "--log-format" => {
                settings.log_json = match value()?.as_str() {
                    "text" => false,
                    "json" => true,
                    other => return Err(format!("`{other}` is not a format of the log, only `text` and `json` are")),
                };
            }
            "-h" | "--help" => return Ok(None),
            other if ConnectionLimits::OPTIONS.contains(&other) => settings.connections.set(other, &value()?)?,
            other => return Err(format!("`{other}` is not known")),
        }
    }
    settings.tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("`--tls-cert` and `--tls-key` go together".to_owned()),
    };
    if settings.postgres_ca.is_some() && settings.postgres.is_none() {
        return Err("`--postgres-ca` goes with `--postgres`".to_owned());
    }
    let with_fhir =
        version.is_some() || probe.is_some() || fhir_token.is_some() || fhir_cert.is_some() || fhir_ca.is_some();
    settings.fhir = match fhir {
        Some(url) => {
            let probe = probe.map_or_else(|| "demo".parse().map_err(|error| format!("{error}")), Ok)?;
            Some(ForeignServer {
                url,
                version: version.unwrap_or(Version::Stu3),
                probe,
                token: fhir_token,
                certificate: fhir_cert,
                roots: fhir_ca,
            })
        }
        None if with_fhir => {
            return Err("`--fhir-probe`, `--fhir-token`, `--fhir-cert` and `--fhir-ca` go with `--fhir`".to_owned());
        }
        None => None,
    };
    let keepers = [
        ("--fhir", settings.fhir.is_some()),
        ("--postgres", settings.postgres.is_some()),
        ("--cosmos", settings.cosmos.is_some()),
    ];
    let mut named = keepers.iter().filter(|(_, is_named)| *is_named).map(|(name, _)| *name);
    if let (Some(one), Some(other)) = (named.next(), named.next()) {
        return Err(format!("`{one}` and `{other}` both keep the resources"));
    }
    settings.is_safe()?;
    Ok(Some(settings))
}

/// Sets a limit: `entries=100`.
fn limit(settings: &mut Settings, text: &str) -> Result<(), String> {
    let wrong = || format!("`{text}` is not a limit and a number, such as entries=100");
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let number: usize = number.parse().map_err(|_| wrong())?;
    let limits = settings.limits;
    settings.limits = match name {
        "entries" => limits.with_entries(number),
        "answer-bytes" => limits.with_answer_bytes(number),
        "page-bytes" => limits.with_page_bytes(number),
        "findings" => limits.with_findings(number),
        "values" => limits.with_values(number),
        "parameters" => limits.with_parameters(number),
        "includes" => limits.with_includes(number),
        "steps" => limits.with_steps(number),
        "filtered-bytes" => limits.with_filtered_bytes(number),
        "read-memory" => limits.with_read_memory(number),
        "operations" => limits.with_operations(number),
        "patched-bytes" => limits.with_patched_bytes(number),
        "request-memory" => {
            settings.request_memory = Some(number);
            return Ok(());
        }
        _ => return Err(wrong()),
    };
    Ok(())
}

impl Settings {
    /// Checks that a service reachable from other machines has TLS and authentication.
    fn is_safe(&self) -> Result<(), String> {
        // An IPv4-mapped IPv6 address is the IPv4 address.
        let address = self.listen.ip().to_canonical();
        if address.is_unspecified() && self.base_url.is_none() {
            return Err(format!(
                "`--listen {}` names no address that a client could use, and addresses of this service are written into \
                 resources: say by `--base-url` where clients find it, as in `--base-url https://updates.example`",
                self.listen
            ));
        }
        if address.is_loopback() || (self.tls.is_some() && (self.tokens.is_some() || self.oidc.is_some())) {
            return Ok(());
        }
        Err(format!(
            "{} can be reached from other machines, so that the service needs TLS (`--tls-cert`, `--tls-key`) and an \
             authenticator (`--tokens` or `--oidc`); without them it listens at a loopback address, such as 127.0.0.1:{}",
            self.listen,
            self.listen.port()
        ))
    }
}

/// Parses a URL with the tenant in it, and without a password, which others could read in the list of processes.
fn fhir_url(text: String) -> Result<String, String> {
    let shown = text.rsplit_once('@').map_or(text.as_str(), |(_, rest)| rest);
    let wrong = |why: &str| format!("`--fhir {shown}`: {why}");
    if !text.contains("{tenant}") {
        return Err(wrong("it does not say where the tenant goes, as in https://fhir.example/{tenant}"));
    }
    let url = Url::parse(&text.replace("{tenant}", "demo")).map_err(|_| wrong("it is no address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.password().is_some() {
        return Err(wrong("wanted http or https, and no password in it"));
    }
    Ok(text)
}

fn hours(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs(3_600).saturating_mul(whole(text)?))
}

fn days(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs(86_400).saturating_mul(whole(text)?))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| format!("`{text}` is not an address with a port, such as 127.0.0.1:8080"))
}

fn whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

fn base_url(text: String) -> Result<String, String> {
    match address(&text) {
        Some(url) if url.path() == "/" => Ok(text),
        _ => Err(format!("`{text}` is not the address of a service, such as https://updates.example")),
    }
}

fn cdn_url(text: &str) -> Result<Url, String> {
    address(text).ok_or_else(|| format!("`{text}` is not the address of a cache, such as https://cdn.example/updates"))
}

/// Parses an absolute URL for clients: with a host, without user name, password, query or fragment.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let unspecified = match url.host()? {
        Host::Ipv4(address) => address.is_unspecified(),
        Host::Ipv6(address) => IpAddr::V6(address).to_canonical().is_unspecified(),
        Host::Domain(_) => false,
    };
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    (bare && !unspecified).then_some(url)
}
