//! Sign-in by OpenID Connect, at a provider of ours that can be made to lie.

use super::client::{Reply, Service};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use fhir_devices::server::{self, OidcOptions, OpenIdProvider, SessionKey, Stores, UpdateServer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;
use url::{Url, form_urlencoded};

/// The provider: what it answers can be changed.
struct Provider {
    issuer: String,
    key: SigningKey,
    answers: Mutex<HashMap<&'static str, Value>>,
    key_reads: AtomicUsize,
    /// The form of the last request for tokens, and its header of the client's secret.
    asked: Mutex<(HashMap<String, String>, String)>,
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::from_bytes(&[9; 32]);
        let own = Arc::new(Self {
            key,
            answers: Mutex::default(),
            key_reads: AtomicUsize::new(0),
            asked: Mutex::default(),
            issuer: issuer.clone(),
        });
        own.answer(
            "discovery",
            json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "jwks_uri": format!("{issuer}/keys"),
            }),
        );
        let x = URL_SAFE_NO_PAD.encode(own.key.verifying_key().to_bytes());
        let known = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one", "use": "sig", "alg": "EdDSA"});
        own.answer("keys", json!({"keys": [{"kty": "strange", "kid": "one"}, known]}));
        let answer = |name: &'static str| {
            get(move |State(own): State<Arc<Self>>| async move {
                if name == "keys" {
                    own.key_reads.fetch_add(1, Ordering::SeqCst);
                }
                own.answers.lock().unwrap().get(name).cloned().unwrap_or(Value::Null).to_string()
            })
        };
        let token = post(|State(own): State<Arc<Self>>, headers: HeaderMap, body: Bytes| async move {
            let form = form_urlencoded::parse(&body).into_owned().collect();
            let secret = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            *own.asked.lock().unwrap() = (form, secret.to_owned());
            let body = own.answers.lock().unwrap().get("token").cloned().unwrap_or(Value::Null).to_string();
            ([("content-type", "application/json")], body)
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", answer("discovery"))
            .route("/keys", answer("keys"))
            .route("/userinfo", answer("userinfo"))
            .route("/token", token)
            .with_state(own.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        own
    }

    fn answer(&self, name: &'static str, value: Value) {
        self.answers.lock().unwrap().insert(name, value);
    }

    /// A token with a header, whose signature is right.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}.{signature}")
    }

    /// The claims of an access token, with changes; `null` takes a claim out.
    fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer, "aud": ["other", "updates"], "sub": "gateway-1", "exp": now() + 300, "iat": now(),
            "roles": ["read"], "tenants": ["demo"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn token(&self, changes: Value) -> String {
        self.sign(&json!({"alg": "EdDSA", "kid": "one"}), &self.claims(changes))
    }

    /// A service whose callers sign in here.
    async fn service(&self) -> Service {
        let settings = format!(
            "issuer = {}\nclient-id = devices\nclient-secret = s3cret\naudience = updates\nrole engineer = read, upload\n\
             role read = read\nrole write = write",
            self.issuer
        );
        let provider = Arc::new(OpenIdProvider::new(OidcOptions::read(&settings).unwrap()).unwrap());
        Service::with(|base| {
            let stores = Stores::in_memory(server::DEFAULT_MAX_UPLOAD);
            let app = UpdateServer::over(stores, base, server::DEFAULT_MAX_UPLOAD).unwrap();
            app.with_open_id(provider, SessionKey::from_bytes([5; 32]))
        })
        .await
    }
}

const DEVICE: &str = "/demo/fhir/Device/infusion-pump-7";
const COMPONENT: &str = "/demo/fhir/DeviceComponent/pump-lvp";

async fn with(service: &Service, path: &str, token: &str) -> Reply {
    service.send("GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").await
}

#[tokio::test]
async fn access_tokens_are_verified() {
    let provider = Provider::start().await;
    let service = provider.service().await;
    assert_eq!(with(&service, DEVICE, &provider.token(json!({}))).await.status, 200);
    assert_eq!(with(&service, "/other/fhir/Device", &provider.token(json!({}))).await.status, 403);
    let usual = json!({"alg": "EdDSA", "kid": "one"});
    let claims = provider.claims(json!({}));
    let good = provider.sign(&usual, &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&claims));
    let no_signature = format!("{signed}.");
    let other_claims = format!("{}.{}.{signature}", encode(&usual), encode(&provider.claims(json!({"sub": "x"}))));
    let faulty = [
        ("expired", provider.token(json!({"exp": now() - 120}))),
        ("not yet", provider.token(json!({"nbf": now() + 600}))),
        ("without an end", provider.token(json!({"exp": null}))),
        ("an end that is a text", provider.token(json!({"exp": "never"}))),
        ("of another issuer", provider.token(json!({"iss": "https://other.example"}))),
        ("without an issuer", provider.token(json!({"iss": null}))),
        ("for somebody else", provider.token(json!({"aud": "other"}))),
        ("for nobody", provider.token(json!({"aud": null}))),
        ("an ID token", provider.token(json!({"nonce": "n"}))),
        ("a logout token", provider.sign(&json!({"alg": "EdDSA", "kid": "one", "typ": "logout+jwt"}), &claims)),
        ("of an unknown key", provider.sign(&json!({"alg": "EdDSA", "kid": "two"}), &claims)),
        ("of another algorithm", provider.sign(&json!({"alg": "ES256", "kid": "one"}), &claims)),
        ("by a shared secret", provider.sign(&json!({"alg": "HS256", "kid": "one"}), &claims)),
        ("critical", provider.sign(&json!({"alg": "EdDSA", "kid": "one", "crit": ["x"], "x": 1}), &claims)),
        ("unsigned", unsigned),
        ("without its signature", no_signature),
        ("changed", other_claims),
        ("no JSON", format!("eyJ.{signature}.{signature}")),
        ("long", format!("eyJ{}.a.b", "x".repeat(20_000))),
    ];
    for (what, token) in faulty {
        let reply = with(&service, DEVICE, &token).await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
    }
    // A token without `kid` is tried with the only key that fits.
    assert_eq!(with(&service, DEVICE, &provider.sign(&json!({"alg": "EdDSA"}), &claims)).await.status, 200);
    assert_eq!(provider.key_reads.load(Ordering::SeqCst), 1, "tokens with unknown keys cause no flood of requests");
}

#[tokio::test]
async fn scopes_open_their_types_alone() {
    let provider = Provider::start().await;
    let service = provider.service().await;
    let token = provider.token(json!({"roles": null, "scope": "openid system/Device.read"}));
    assert_eq!(with(&service, DEVICE, &token).await.status, 200);
    assert_eq!(with(&service, COMPONENT, &token).await.refusal(403).0, "scope");
    for path in
        ["/demo/fhir/Device?_revinclude=DeviceComponent:source", "/demo/updates", "/demo/pages/devices", "/demo/fhir"]
    {
        assert_eq!(with(&service, path, &token).await.status, 403, "{path}");
    }
    assert_eq!(with(&service, "/other/fhir/Device", &token).await.refusal(403).0, "tenant");
    let bearer = format!("Bearer {token}");
    let written = service.json("DELETE", DEVICE, &[("Authorization", &bearer)], "").await;
    assert_eq!(written.refusal(403).0, "scope");
    let without = provider.token(json!({"roles": null}));
    assert_eq!(with(&service, DEVICE, &without).await.refusal(403).0, "role");
    let all = provider.token(json!({"roles": null, "tenants": "*"}));
    assert_eq!(with(&service, "/metrics", &all).await.status, 403);
}

/// The cookie that an answer sets, as the browser sends it.
fn cookie(reply: &Reply, name: &str) -> String {
    let set = reply.head.lines().filter_map(|line| line.split_once(": "));
    let mut set = set.filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie")).map(|(_, value)| value);
    let found = set.find(|value| value.starts_with(&format!("{name}="))).unwrap_or_else(|| panic!("{}", reply.head));
    assert!(found.contains("HttpOnly") && found.contains("SameSite=Lax"), "{found}");
    found.split(';').next().unwrap().to_owned()
}

/// Asks for a page, and follows the browser's way to the provider: the parameters that it is given, and the cookie.
async fn begin(service: &Service, page: &str) -> (HashMap<String, String>, String) {
    let led = service.send("GET", page, &[("Accept", "text/html")], b"").await;
    assert_eq!(led.status, 303, "{}", led.text());
    let led = service.get(led.header("location").unwrap()).await;
    assert_eq!(led.status, 303, "{}", led.text());
    let place = Url::parse(led.header("location").unwrap()).unwrap();
    (place.query_pairs().into_owned().collect(), cookie(&led, "sign-in"))
}

async fn come_back(service: &Service, query: &str, cookie: &str) -> Reply {
    service
        .send("GET", &format!("/sign-in/callback?{query}"), &[("Cookie", cookie), ("Accept", "text/html")], b"")
        .await
}

#[tokio::test]
async fn people_sign_in_with_code_and_proof() {
    let provider = Provider::start().await;
    let service = provider.service().await;
    let page = "/demo/pages/devices?q=pump";
    let (asked, under_way) = begin(&service, page).await;
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "devices"));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["scope"].split(' ').next(), Some("openid"));
    assert_eq!(asked["redirect_uri"], format!("http://{}/sign-in/callback", service.address));
    let id = |changes: Value| {
        let mut claims =
            json!({"aud": "devices", "nonce": asked["nonce"], "roles": null, "tenants": null, "sub": "u1"});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        json!({"access_token": "at", "token_type": "Bearer", "id_token": provider.token(claims)})
    };
    let query = format!("code=c0de&state={}", asked["state"]);
    provider.answer("userinfo", json!({"sub": "u1", "name": "Ada <b>", "roles": ["engineer"], "tenants": ["demo"]}));

    // Nothing of somebody else's sign-in is taken.
    for (what, query, cookie) in [
        ("another state", "code=c0de&state=x".to_owned(), under_way.as_str()),
        ("no state", "code=c0de".to_owned(), &under_way),
        ("no cookie", query.clone(), "x=y"),
        ("a changed cookie", query.clone(), &under_way.replacen("=e", "=f", 1)),
    ] {
        let reply = come_back(&service, &query, cookie).await;
        assert_eq!(reply.status, 400, "{what}");
        assert!(reply.header("set-cookie").is_none(), "{what}");
    }
    assert!(provider.asked.lock().unwrap().0.is_empty(), "no code was shown to the provider");
    let denied = come_back(&service, &format!("error=access_denied&state={}", asked["state"]), &under_way).await;
    assert_eq!(denied.status, 403);
    for (what, token) in [
        ("another nonce", id(json!({"nonce": "x"}))),
        ("no nonce", id(json!({"nonce": null}))),
        ("another client", id(json!({"aud": "other"}))),
        ("another party", id(json!({"azp": "other"}))),
        ("expired", id(json!({"exp": now() - 600}))),
        ("no ID token", json!({"access_token": "at", "token_type": "Bearer"})),
        ("no answer", json!("no")),
    ] {
        provider.answer("token", token);
        let reply = come_back(&service, &query, &under_way).await;
        assert_eq!(reply.status, 503, "{what}: {}", reply.text());
        assert!(reply.header("set-cookie").is_none(), "{what}");
    }

    provider.answer("token", id(json!({})));
    let back = come_back(&service, &query, &under_way).await;
    assert_eq!((back.status, back.header("location")), (303, Some(page)), "{}", back.text());
    let (form, secret) = provider.asked.lock().unwrap().clone();
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "c0de"));
    assert_eq!(secret, format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("devices:s3cret")));
    let digest = fhir_devices::store::Sha256::of(form["code_verifier"].as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(digest.0), asked["code_challenge"]);

    let session = cookie(&back, "session");
    let shown = service.send("GET", page, &[("Cookie", &session), ("Accept", "text/html")], b"").await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains("Signed in as Ada &lt;b&gt;"), "{}", shown.text());
    let own = format!("http://{}", service.address);
    for (method, path, headers, status) in [
        ("GET", DEVICE, &[][..], 200),
        ("GET", "/other/fhir/Device", &[], 403),
        ("POST", "/demo/releases", &[], 403),
        ("DELETE", DEVICE, &[("Origin", "http://evil.example")], 403),
        ("POST", "/sign-out", &[("Origin", "http://evil.example")], 403),
        ("POST", "/sign-out", &[("Origin", own.as_str())], 200),
    ] {
        let headers = [headers, &[("Cookie", session.as_str())]].concat();
        let reply = service.send(method, path, &headers, b"").await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    let changed = session.replacen("=e", "=f", 1);
    assert_eq!(service.send("GET", DEVICE, &[("Cookie", &changed)], b"").await.status, 401);
}

#[tokio::test]
async fn userinfo_of_somebody_else_gives_no_rights() {
    let provider = Provider::start().await;
    let service = provider.service().await;
    let (asked, under_way) = begin(&service, "/").await;
    let claims = json!({"aud": "devices", "nonce": asked["nonce"], "roles": null, "tenants": null, "sub": "u1"});
    provider.answer("token", json!({"access_token": "at", "token_type": "Bearer", "id_token": provider.token(claims)}));
    provider.answer("userinfo", json!({"sub": "u2", "roles": ["engineer"], "tenants": "*"}));
    let back = come_back(&service, &format!("code=c&state={}", asked["state"]), &under_way).await;
    let session = cookie(&back, "session");
    assert_eq!(service.send("GET", DEVICE, &[("Cookie", &session)], b"").await.status, 403);
}

#[tokio::test]
async fn faulty_provider_is_refused() {
    let provider = Provider::start().await;
    let issuer = provider.issuer.clone();
    let usual = provider.answers.lock().unwrap()["discovery"].clone();
    let changed = |name: &str, value: &str| {
        let mut changed = usual.clone();
        changed[name] = value.into();
        changed
    };
    for (what, discovery) in [
        ("another issuer", changed("issuer", "https://other.example")),
        ("a token endpoint without encryption", changed("token_endpoint", "http://login.example/token")),
        ("keys elsewhere", changed("jwks_uri", "file:///etc/passwd")),
        ("keys that are none", changed("jwks_uri", &format!("{issuer}/userinfo"))),
        ("a large document", json!({"issuer": issuer, "more": "x".repeat(2 << 20)})),
        ("no document", json!([])),
    ] {
        provider.answer("discovery", discovery);
        let service = provider.service().await;
        assert_eq!(with(&service, DEVICE, &provider.token(json!({}))).await.status, 401, "{what}");
        let sign_in = service.get("/sign-in?to=/").await;
        assert_eq!(sign_in.refusal(503).0, "sign-in-provider", "{what}");
        assert!(sign_in.header("retry-after").is_some(), "{what}");
    }
}
