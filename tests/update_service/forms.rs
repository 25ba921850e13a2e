//! What a form may say, and how its parts may be written.

use super::client::{Form, Reply, Service};
use fhir_devices::DeviceComponent;
use fhir_devices::update::{AvailableUpdate, available};

const PUMP: &str = "infusion-pump-7";

fn form() -> Form {
    Form::of(PUMP).field("Component", "pump-lvp")
}

/// The form with one part more, written as it stands here.
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
async fn a_field_that_is_not_known_is_named_with_the_closest_one() {
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

/// The names of the fields, as messages list them.
fn app_fields() -> String {
    ["DeviceId", "Component", "Version", "Sha256", "Sequence"].map(|name| format!("`{name}`")).join(", ")
}

#[tokio::test]
async fn a_blank_field_says_nothing() {
    let service = Service::start().await;
    let blank = form().field("Version", "").field("Sha256", " ").field("Sequence", "").file("a", b"1");
    let reply = service.upload("demo", &[], &blank).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let update = last(&reply.body);
    assert_eq!((update.version, update.sequence), (None, None));
}

#[tokio::test]
async fn a_file_name_is_read_in_the_forms_of_rfc_7578_and_8187() {
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
async fn a_field_is_read_in_the_charset_that_its_part_or_the_form_names() {
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
async fn a_transfer_encoding_that_would_change_the_bytes_is_refused() {
    let service = Service::start().await;
    let head = |encoding: &str| {
        format!(
            "Content-Disposition: form-data; name=\"File\"; filename=\"a\"\r\nContent-Transfer-Encoding: {encoding}"
        )
    };
    for encoding in ["base64", "quoted-printable", "x-gzip"] {
        let (rule, words) = post(&service, &with_part(&form(), head(encoding).as_bytes(), b"MQ==")).await.refusal(400);
        assert_eq!(rule, "part-header");
        assert_eq!(
            words,
            format!(
                "a part of the form has the `Content-Transfer-Encoding` `{encoding}`, wanted `binary`, `8bit` or \
                 `7bit`, or none"
            )
        );
    }
    assert_eq!(attached(&service).await, 0);
    for encoding in ["binary", "BINARY", "8bit", "7bit"] {
        assert_eq!(
            post(&service, &with_part(&form(), head(encoding).as_bytes(), b"1")).await.status,
            201,
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn a_text_with_a_character_that_nobody_sees_is_refused() {
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
async fn a_refusal_has_the_message_of_the_library() {
    let service = Service::start().await;
    let one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    let cases = [
        (
            Form::of(PUMP).field("Component", "nobody").file("a", b"1"),
            422,
            "the device does not have the component or level `nobody`, wanted one of `pump-mds/pump-lvp` (vmd, Vol",
        ),
        (Form::of(PUMP).file("a", b"1"), 422, "6 components may be meant, wanted one of `pump-mds/pump-lvp` (vmd, Vol"),
        (form().file("a", b""), 400, "the file is empty"),
        (form().field("Sha256", one).file("a", b"2"), 422, "the digest of the file is `d4735e"),
    ];
    for (form, status, words) in cases {
        let (_, found) = service.upload("demo", &[], &form).await.refusal(status);
        assert!(found.starts_with(words), "{found}");
    }
}
