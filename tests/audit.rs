//! The records of what happened to updates: their text, their chain, what they rebuild, and their FHIR forms.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

#[path = "audit/chain.rs"]
mod chain;
mod common;
#[path = "audit/resources.rs"]
mod resources;
#[path = "audit/stu3.rs"]
mod stu3;
#[path = "audit/text.rs"]
mod text;

use fhir_devices::primitive::{Id, Instant};
use fhir_devices::store::{BlobRef, Sha256, Tenant, VersionId};
use fhir_devices::update::audit::{
    Actor, ActorKind, AuditDraft, AuditRecord, ChainHead, Entity, Outcome, Subject, UpdateFacts, Verdict, Verification,
    Why,
};
use fhir_devices::update::{ActorId, DowngradeAuthorization, IngestId, KeyId, Name, Note};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::str::FromStr;

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

fn noon() -> Instant {
    "2017-04-19T12:00:00.125Z".parse().unwrap()
}

fn gateway() -> Actor {
    Actor::service("gateway".parse().unwrap())
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A transition of an upload that has nothing but states.
fn plain(ingest: u128, from: Option<&str>, to: &str) -> AuditDraft {
    let state = format!(r#"{{"format":1,"id":"{}","state":{{"name":"{to}"}}}}"#, IngestId(ingest));
    let mut draft = AuditDraft::new(Entity::Ingest(IngestId(ingest)), name("step"), name(to), state.parse().unwrap());
    draft.from = from.map(name);
    draft
}

/// One in which every member has a value.
fn full() -> AuditDraft {
    let mut draft = plain(7, Some("stored"), "attached");
    draft.action = name("attach");
    draft.outcome = Outcome::Done;
    draft.why =
        Some(Why { code: name("recall"), text: Some(Note::new("the \"old\" one\\ loses alarms ✓").unwrap()) });
    let second = VersionId::FIRST.next();
    let subject = Subject::component("pump-7".parse().unwrap(), "mds-7".parse().unwrap());
    draft.subject = Some(subject.written(Some(VersionId::FIRST), second));
    draft.update = UpdateFacts {
        provider: Some("acme".parse().unwrap()),
        name: Some("pump/main".parse().unwrap()),
        version: Some("2.4 (build 7)".parse().unwrap()),
        sequence: Some(u64::MAX),
        manifest: Some(Sha256::of(b"manifest")),
    };
    draft.blob = Some(BlobRef::of(b"firmware"));
    draft.downgrade = Some(DowngradeAuthorization {
        from: 25,
        to: 24,
        reason: "2.5 loses alarms".parse().unwrap(),
        approved_by: vec!["m.jones".parse().unwrap(), "a.smith".parse().unwrap()],
        not_after: "2017-05-01T00:00:00Z".parse().unwrap(),
    });
    draft.verification =
        Some(Verification { verdict: Verdict::Verified, keys: vec![KeyId::new("acme-2017").unwrap()] });
    draft
}

/// The chain of some transitions.
fn chained(drafts: impl IntoIterator<Item = AuditDraft>) -> (Vec<AuditRecord>, ChainHead) {
    let mut head = ChainHead::start(tenant());
    let mut records = Vec::new();
    for draft in drafts {
        let added = head.append(draft, gateway(), noon());
        records.push(added.record);
        head = added.head;
    }
    (records, head)
}

// -------------------------------------------------------------------------------------------------------- strategies

/// Any text that a type takes, among such as come close to what it refuses.
fn taken<T: FromStr + std::fmt::Debug + 'static>() -> BoxedStrategy<T> {
    let near = prop_oneof![
        "[a-z0-9-]{1,20}",
        "\\PC{1,40}",
        "https?:/{0,3}[a-z.]{1,9}[?]sig=[a-z]{3}",
        "[Pp]atient/?[0-9]{0,3}",
        "[\"\\\\ \\n\\ta-zé✓]{1,12}",
    ];
    near.prop_filter_map("refused", |text| text.parse().ok()).boxed()
}

fn names() -> BoxedStrategy<Name> {
    "[a-z0-9-]{1,64}".prop_map(|text| name(&text)).boxed()
}

fn ids() -> BoxedStrategy<Id> {
    "[A-Za-z0-9.-]{1,64}".prop_map(|text| text.parse().unwrap()).boxed()
}

fn digests() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256)
}

fn versions() -> impl Strategy<Value = VersionId> {
    (1..=u64::MAX).prop_map(|number| VersionId::new(number).unwrap())
}

fn actors() -> impl Strategy<Value = Actor> {
    (prop::sample::select(ActorKind::ALL.to_vec()), taken::<ActorId>(), option::of(taken::<ActorId>()))
        .prop_map(|(kind, id, on_behalf_of)| Actor { kind, id, on_behalf_of })
}

fn subjects() -> impl Strategy<Value = Subject> {
    (ids(), option::of(ids()), option::of(versions()), option::of(versions())).prop_map(
        |(device, component, before, after)| {
            let mut subject = Subject::device(device);
            (subject.component, subject.before, subject.after) = (component, before, after);
            subject
        },
    )
}

fn updates() -> impl Strategy<Value = UpdateFacts> {
    (option::of(taken()), option::of(taken()), option::of(taken()), option::of(any::<u64>()), option::of(digests()))
        .prop_map(|(provider, name, version, sequence, manifest)| UpdateFacts {
            provider,
            name,
            version,
            sequence,
            manifest,
        })
}

fn downgrades() -> impl Strategy<Value = DowngradeAuthorization> {
    (any::<u64>(), any::<u64>(), taken(), vec(taken(), 0..3), Just(noon())).prop_map(
        |(from, to, reason, approved_by, not_after)| DowngradeAuthorization {
            from,
            to,
            reason,
            approved_by,
            not_after,
        },
    )
}

fn verifications() -> impl Strategy<Value = Verification> {
    (prop::sample::select(Verdict::ALL.to_vec()), vec(taken::<KeyId>(), 0..3))
        .prop_map(|(verdict, keys)| Verification { verdict, keys })
}

fn entities() -> impl Strategy<Value = Entity> {
    prop_oneof![any::<u128>().prop_map(|id| Entity::Ingest(IngestId(id))), digests().prop_map(Entity::Blob)]
}

fn drafts() -> impl Strategy<Value = AuditDraft> {
    let what = (entities(), names(), option::of(names()), names(), prop::sample::select(Outcome::ALL.to_vec()));
    let why = option::of((names(), option::of(taken())).prop_map(|(code, text)| Why { code, text }));
    let blob = option::of((digests(), any::<u64>()).prop_map(|(digest, size)| BlobRef { digest, size }));
    let facts = (option::of(subjects()), updates(), blob, option::of(downgrades()), option::of(verifications()));
    (what, why, facts).prop_map(|((entity, action, from, to, outcome), why, facts)| {
        let state = format!(r#"{{"name":"{to}"}}"#).parse().unwrap();
        let mut draft = AuditDraft::new(entity, action, to, state);
        (draft.from, draft.outcome, draft.why) = (from, outcome, why);
        (draft.subject, draft.update, draft.blob, draft.downgrade, draft.verification) = facts;
        draft
    })
}

fn records() -> impl Strategy<Value = AuditRecord> {
    (drafts(), actors(), any::<u64>(), digests()).prop_map(|(what, actor, index, prev)| {
        let mut record = ChainHead::start(tenant()).append(what, actor, noon()).record;
        (record.index, record.prev) = (index, prev);
        record
    })
}
