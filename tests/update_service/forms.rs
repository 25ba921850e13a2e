//! The fields of a form, and the forms of its parts.

use super::client::{Form, Reply, Service};
use fhir_devices::DeviceComponent;
use fhir_devices::update::{AvailableUpdate, available};

const PUMP: &str = "infusion-pump-7";

fn form() -> Form {
    Form::of(PUMP).field("Component", "pump-lvp")
}

/// Returns the form with another part, in raw bytes.
fn with_part(form: &Form, head: &[u8], body: &[u8]) -> Vec<u8> {
    [form.unfinished(), b"--edge\r\n", head, b"\r\n\r\n", body, b"\r\n--edge--\r\n"].concat()
}

async fn post(service: &Service, body: &[u8]) -> Reply {
    service.send("POST", "/demo/updates", &[("Content-Type", Form::TYPE)], body).await
}

fn last(body: &[u8]) -> AvailableUpdate {
    let component = DeviceComponent::from_json(body).unwrap();
    available(&component).last().unwrap().unwrap()
}

async fn attached(service: &Service) -> usize {
    let body = service.get("/demo/fhir/DeviceComponent/pump-lvp").await.body;
    available(&DeviceComponent::from_json(&body).unwrap()).count()
}

#[tokio::test]
async fn unknown_field_gets_a_suggestion() {
    let service = Service::start().await;
    let known = app_fields();
    for (name, words) in [
        (
            "Verison",
            format!("the field `Verison` is not known, did you mean `Version`? wanted one of {known}, or a file"),
        ),
        (
            "Sha-256",
            format!("the field `Sha-256` is not known, did you mean `Sha256`? wanted one of {known}, or a file"),
        ),
        (
            "firmware",
            format!("the field `firmware` is not known, wanted one of {known}, or a file, which has a `filename`"),
        ),
    ] {
        let reply = service.upload("demo", &[], &form().field(name, "x").file("a", b"1")).await;
        assert_eq!(reply.refusal(400), ("unknown-field".to_owned(), words.clone()));
        let reply = service.upload("demo", &[], &form().file("a", b"1").field(name, "x")).await;
        assert_eq!(reply.refusal(400), ("unknown-field".to_owned(), words));
    }
    let nameless = with_part(&form(), b"Content-Type: text/plain", b"x");
    let (rule, words) = post(&service, &nameless).await.refusal(400);
    assert_eq!(rule, "unknown-field");
    assert!(words.starts_with("a part of the form has neither a name nor a file name, wanted one of `DeviceId`"));
    let twice = form().field("Version", "9").field("Version", "9").file("a", b"1");
    let reply = service.upload("demo", &[], &twice).await;
    let words = "the field `Version` comes twice, wanted it once".to_owned();
    assert_eq!(reply.refusal(400), ("repeated-field".to_owned(), words));
    assert_eq!(attached(&service).await, 0);
}

/// Returns the names of the fields, as messages list them.
fn app_fields() -> String {
    let names = ["DeviceId", "Component", "Version", "Sha256", "Sequence", "Replace", "Downgrade", "Reason"];
    let names = names.into_iter().chain(["VersionScheme", "Reports"]);
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn blank_field_is_ignored() {
    let service = Service::start().await;
    let blank = form().field("Version", "").field("Sha256", " ").field("Sequence", "").file("a", b"1");
    let reply = service.upload("demo", &[], &blank).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let update = last(&reply.body);
    assert_eq!((update.version, update.sequence), (None, None));
}

#[tokio::test]
async fn file_name_is_read_by_rfc_7578_and_8187() {
    let service = Service::start().await;
    for (parameters, title) in [
        (&b"filename*=UTF-8''p%C3%BCmp%202.bin"[..], "p\u{fc}mp 2.bin"),
        (b"filename=\"old.bin\"; filename*=utf-8'de'p%C3%BCmp.bin", "p\u{fc}mp.bin"),
        (b"filename=\"p\xfcmp.bin\"", "p\u{fc}mp.bin"),
        ("filename=\"p\u{fc}mp.bin\"".as_bytes(), "p\u{fc}mp.bin"),
        (b"filename=\"p%C3%BCmp.bin\"", "p\u{fc}mp.bin"),
        (b"filename*=UTF-8''..%2F..%2Fpump.bin", "../../pump.bin"),
    ] {
        let head = [b"Content-Disposition: form-data; name=\"File\"; ", parameters].concat();
        let reply = post(&service, &with_part(&form(), &head, b"1")).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(last(&reply.body).file.title, title);
    }
    let greek = form().field("_charset_", "iso-8859-7");
    let head = b"Content-Disposition: form-data; name=\"File\"; filename=\"\xe1.bin\"";
    let reply = post(&service, &with_part(&greek, head, b"1")).await;
    assert_eq!(last(&reply.body).file.title, "\u{3b1}.bin");
    let unknown = form().field("_charset_", "nobody").file("a", b"1");
    let words = "the charset `nobody` is not known, wanted one such as `UTF-8`".to_owned();
    assert_eq!(service.upload("demo", &[], &unknown).await.refusal(400), ("charset".to_owned(), words));
    let head = b"Content-Disposition: form-data; name=\"File\"; filename*=UTF-8''%FF";
    let (rule, words) = post(&service, &with_part(&form(), head, b"1")).await.refusal(400);
    assert_eq!(rule, "part-header");
    assert_eq!(
        words,
        "`filename*` is `UTF-8''%FF`, wanted a charset, two apostrophes and percent-encoded bytes, as in \
         `UTF-8''p%C3%BCmp.bin`"
    );
}

#[tokio::test]
async fn field_charset_is_that_of_part_or_form() {
    let service = Service::start().await;
    let version = |form: Form, kind: &[u8]| {
        let head =
            [b"--edge\r\nContent-Disposition: form-data; name=\"Version\"\r\n", kind, b"\r\n\xfc 7\r\n"].concat();
        [form.unfinished(), &head, Form::file_head("a").as_bytes(), b"1\r\n--edge--\r\n"].concat()
    };
    let own = version(form(), b"Content-Type: text/plain; charset=ISO-8859-1\r\n");
    assert_eq!(last(&post(&service, &own).await.body).version.unwrap(), "\u{fc} 7");
    let of_form = version(form().field("_charset_", "windows-1252"), b"");
    assert_eq!(last(&post(&service, &of_form).await.body).version.unwrap(), "\u{fc} 7");
    let (rule, words) = post(&service, &version(form(), b"")).await.refusal(400);
    assert_eq!(
        (rule.as_str(), words.as_str()),
        ("field-value", "`Version`: it is not UTF-8, wanted it or a `_charset_`")
    );
}

#[tokio::test]
async fn content_transfer_encoding_is_refused() {
    let service = Service::start().await;
    let head = |encoding: &str| {
        format!(
            "Content-Disposition: form-data; name=\"File\"; filename=\"a\"\r\nContent-Transfer-Encoding: {encoding}"
        )
    };
    for encoding in ["base64", "quoted-printable", "x-gzip", "8bit", "7bit"] {
        let (rule, words) = post(&service, &with_part(&form(), head(encoding).as_bytes(), b"MQ==")).await.refusal(400);
        assert_eq!(rule, "part-header");
        assert_eq!(
            words,
            format!("a part of the form has the `Content-Transfer-Encoding` `{encoding}`, wanted `binary` or none")
        );
    }
    assert_eq!(attached(&service).await, 0);
    for encoding in ["binary", "BINARY"] {
        assert_eq!(
            post(&service, &with_part(&form(), head(encoding).as_bytes(), b"1")).await.status,
            201,
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn invisible_characters_are_refused() {
    let service = Service::start().await;
    for (hidden, code) in [
        ("%E2%80%AE", "202E"),
        ("%E2%80%8B", "200B"),
        ("%E2%80%A8", "2028"),
        ("%E2%81%A6", "2066"),
        ("%EF%BB%BF", "FEFF"),
        ("%09", "0009"),
        ("%0D%0A", "000D"),
    ] {
        let head = format!("Content-Disposition: form-data; name=\"File\"; filename*=UTF-8''pump{hidden}nib.exe");
        let (rule, words) = post(&service, &with_part(&form(), head.as_bytes(), b"1")).await.refusal(400);
        assert_eq!(rule, "hidden-character");
        assert_eq!(
            words,
            format!(
                "the name of the file has the character U+{code}, wanted none that cannot be seen or turns the direction"
            )
        );
    }
    let (rule, words) =
        service.upload("demo", &[], &form().field("Version", "9\u{200f}.1").file("a", b"1")).await.refusal(400);
    assert_eq!(rule, "hidden-character");
    assert!(words.starts_with("the version has the character U+200F, wanted none"), "{words}");
    assert_eq!(attached(&service).await, 0);
}

#[tokio::test]
async fn refusal_has_the_library_message() {
    let service = Service::start().await;
    let one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    let cases = [
        (
            Form::of(PUMP).field("Component", "nobody").file("a", b"1"),
            422,
            "the device does not have the component or level `nobody`, wanted one of `pump-mds/pump-lvp` (vmd, Vol",
        ),
        (Form::of(PUMP).file("a", b"1"), 422, "6 components match, wanted one of `pump-mds/pump-lvp` (vmd, Vol"),
        (form().file("a", b""), 400, "the file is empty"),
        (form().field("Sha256", one).file("a", b"2"), 422, "the digest of the file is `d4735e"),
    ];
    for (form, status, words) in cases {
        let (_, found) = service.upload("demo", &[], &form).await.refusal(status);
        assert!(found.starts_with(words), "{found}");
    }
}

#[tokio::test]
async fn version_with_other_bytes_needs_replace() {
    let service = Service::start().await;
    let send = async |more: &[(&str, &str)], bytes: &[u8]| {
        let form = more.iter().fold(form().field("Version", "9.0.0"), |form, (name, value)| form.field(name, value));
        service.upload("demo", &[], &form.file("a", bytes)).await
    };
    assert_eq!(send(&[], b"1").await.status, 201);
    let (rule, words) = send(&[], b"2").await.refusal(409);
    assert_eq!(rule, "version-taken");
    assert_eq!(
        words,
        "the file of version `9.0.0` has the digest \
         `d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35`, and the version stands for \
         `6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b`: wanted those bytes, another version, or \
         leave to replace them by `Replace=true`"
    );
    assert_eq!(send(&[("Replace", "true")], b"2").await.status, 201);
}

#[tokio::test]
async fn version_below_reported_needs_downgrade_and_reason() {
    let service = Service::start().await;
    let send = async |more: &[(&str, &str)]| {
        let form = more.iter().fold(form(), |form, (name, value)| form.field(name, value));
        service.upload("demo", &[], &form.file("a", b"1")).await
    };
    let (rule, words) = send(&[("Version", "3.7.1")]).await.refusal(422);
    assert_eq!(rule, "lower-version");
    assert_eq!(
        words,
        "the version is `3.7.1`, and the component reports `3.7.2` (semver): wanted none below that, or leave to go back \
         with a reason: `Downgrade=true` and a `Reason`"
    );
    let (_, words) = send(&[("Version", "3.7.1"), ("Downgrade", "true")]).await.refusal(400);
    assert_eq!(words, "`Reason`: it is missing, wanted why the version goes down");
    let firmware = [("Version", "1.8.0"), ("Reports", "firmware-revision")];
    assert!(send(&firmware).await.refusal(422).1.contains("reports `1.9.0`"));
    assert_eq!(send(&[("Version", "2.0.0"), ("Reports", "firmware-revision")]).await.status, 201);
    let back = [("Version", "3.7.1"), ("Downgrade", "true"), ("Reason", "3.7.2 loses alarms")];
    assert_eq!(send(&back).await.status, 201);
    let audit = service.get("/demo/audit").await.text();
    let line = audit.lines().find(|line| line.contains("3.7.2 loses alarms")).unwrap();
    assert!(line.contains(r#""onBehalfOf":"local""#) && line.contains(r#""reported":"3.7.2""#), "{line}");
}

#[tokio::test]
async fn operator_lowers_a_sequence_number() {
    let service = Service::start().await;
    let send = async |sequence: &str, bytes: &[u8]| {
        let form = if sequence.is_empty() { form() } else { form().field("Sequence", sequence) };
        service.upload("demo", &[], &form.file("a", bytes)).await
    };
    let (_, words) = send("18446744073709551615", b"1").await.refusal(400);
    assert_eq!(words, "`Sequence`: it is `18446744073709551615`, wanted a number from 0 to 9223372036854775807");
    assert_eq!(send("9223372036854775807", b"1").await.status, 201);
    let (rule, words) = send("7", b"2").await.refusal(409);
    assert_eq!(rule, "not-higher");
    assert_eq!(words, "the sequence number is 7, wanted one above 9223372036854775807 or an authorisation");
    let (rule, words) = send("", b"2").await.refusal(409);
    assert_eq!(rule, "unsequenced");
    assert_eq!(
        words,
        "the update has no sequence number, and the component accepted the number 9223372036854775807: wanted one above \
         that"
    );
    let place = "/demo/sequences/pump-lvp";
    assert_eq!(service.get(place).await.json()["accepted"][0]["highest"], 9_223_372_036_854_775_807_u64);
    let put = async |body: &str| service.send("PUT", place, &[], body.as_bytes()).await;
    assert_eq!(put(r#"{"highest":6}"#).await.refusal(400).0, "sequence");
    let lowered = put(r#"{"highest":6,"reason":"somebody typed a date"}"#).await;
    assert_eq!((lowered.status, &lowered.json()["accepted"][0]["highest"]), (200, &serde_json::json!(6)));
    let (rule, words) = put(r#"{"highest":6,"reason":"again"}"#).await.refusal(422);
    assert_eq!(rule, "sequence-not-lowered");
    assert_eq!(words, "the highest accepted sequence number is 6, wanted one below that instead of 6");
    assert_eq!(send("7", b"2").await.status, 201);
    let audit = service.get("/demo/audit").await.text();
    let line = audit.lines().find(|line| line.contains("sequence-lowered")).unwrap();
    assert!(line.contains("somebody typed a date") && line.contains(r#""onBehalfOf":"local""#), "{line}");
}

#[tokio::test]
async fn upload_is_answered_in_the_version_of_fhir_that_accept_names() {
    let service = Service::start().await;
    let r4 = "application/fhir+json; fhirVersion=4.0";
    let reply = service.upload("demo", &[("Accept", r4)], &form().field("Version", "9.1").file("a", b"1")).await;
    assert_eq!((reply.status, reply.header("content-type")), (201, Some(r4)), "{}", reply.text());
    assert_eq!((&reply.json()["resourceType"], reply.header("vary")), (&"Device".into(), Some("Accept")));
    let place = reply.header("location").unwrap().to_owned();
    let path = place.split_once("/demo/").map_or(&*place, |(_, path)| path);
    let read = service.send("GET", &format!("/demo/{path}"), &[("Accept", r4)], b"").await;
    assert_eq!((read.status, read.json()), (200, reply.json()));
    // A browser, and a client that asks for no version, get STU3.
    for accept in ["text/html,*/*;q=0.8", "application/fhir+json"] {
        let form = form().field("Version", "9.2").field("Replace", "true").file("a", accept.as_bytes());
        let reply = service.upload("demo", &[("Accept", accept)], &form).await;
        assert_eq!(reply.json()["resourceType"], "DeviceComponent", "{}", reply.text());
    }
}
