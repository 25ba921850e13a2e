//! Audit records of updates: their text, their chain, the states they rebuild, and their FHIR forms.
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
#[path = "audit/replay.rs"]
mod replay;
#[path = "audit/resources.rs"]
mod resources;
#[path = "audit/stu3.rs"]
mod stu3;
#[path = "audit/text.rs"]
mod text;

use fhir_devices::audit::{
    Action, Actor, ActorKind, AuditDraft, AuditRecord, ChainHead, Holder, RecordContext, StateName, UploadFailure,
    Verdict, Verification,
};
use fhir_devices::manifest::{ActorId, DowngradeAuthorization, IngestId, KeyId};
use fhir_devices::primitive::{Id, Text};
use fhir_devices::store::{BlobKey, BlobRef, Generation, Sha256, Tenant, VersionId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::str::FromStr;
use time::OffsetDateTime;
use time::macros::datetime;

fn tenant() -> Tenant {
    "st-mary".parse().unwrap()
}

const NOON: OffsetDateTime = datetime!(2017-04-19 12:00:00.125 UTC);

fn gateway() -> RecordContext {
    RecordContext::by(Actor::service("gateway".parse().unwrap()))
}

/// A transition of an upload with nothing but its states.
fn plain(ingest: u128, from: Option<StateName>, to: StateName) -> AuditDraft {
    let mut draft = AuditDraft::new(NOON, Action::Extended, from, to);
    draft.ingest = Some(IngestId(ingest));
    draft
}

/// A transition and its context, with a value for every member.
fn full() -> (AuditDraft, RecordContext) {
    let mut draft = plain(7, Some(StateName::Stored), StateName::Attached);
    draft.action = Action::Attached;
    draft.actor = Some("m.jones".parse().unwrap());
    draft.reason = Some(UploadFailure::Withdrawn);
    draft.comment = Some("the \"old\" one\\ loses alarms ✓".parse().unwrap());
    draft.device = Some("pump-7".parse().unwrap());
    draft.component = Some("mds-7".parse().unwrap());
    draft.component_version = VersionId::new(2);
    draft.blob = Some(BlobRef::of(b"firmware"));
    draft.generation = Some(Generation(0xfeed));
    draft.holder = Some(Holder::Retention { pin: "rule-7".parse().unwrap(), until: datetime!(2027-04-19 0:00 +2) });
    draft.provider = Some("acme".parse().unwrap());
    draft.version = Some("2.4 (build 7)".parse().unwrap());
    draft.sequence = Some(u64::MAX);
    draft.manifest = Some(Sha256::of(b"manifest"));
    draft.downgrade = Some(Box::new(DowngradeAuthorization {
        from: 6,
        to: 5,
        reason: "6 loses alarms".parse().unwrap(),
        approved_by: vec!["m.jones".parse().unwrap(), "a.smith".parse().unwrap()],
        not_after: datetime!(2017-05-01 0:00 UTC),
    }));
    draft.superseded_by = Some(IngestId(8));
    draft.attempts = Some(3);
    draft.deadline = Some(datetime!(2017-04-19 13:00 UTC));
    let mut aside = gateway();
    aside.before = VersionId::new(1);
    aside.written = VersionId::new(2);
    aside.update = Some("pump/main".parse().unwrap());
    let keys = vec![KeyId::new("acme-2017").unwrap()];
    aside.verification = Some(Verification { verdict: Verdict::Verified, keys });
    (draft, aside)
}

fn record_of((draft, aside): (AuditDraft, RecordContext)) -> AuditRecord {
    ChainHead::start(tenant()).append(draft, aside).record
}

/// Returns the chain of some transitions.
fn chained(drafts: impl IntoIterator<Item = AuditDraft>) -> (Vec<AuditRecord>, ChainHead) {
    let mut head = ChainHead::start(tenant());
    let mut records = Vec::new();
    for draft in drafts {
        let added = head.append(draft, gateway());
        records.push(added.record);
        head = added.head;
    }
    (records, head)
}

// -------------------------------------------------------------------------------------------------------- strategies

/// Texts that a type accepts, close to those that a record refuses.
fn taken<T: FromStr + std::fmt::Debug + 'static>() -> BoxedStrategy<T> {
    let near = prop_oneof![
        "[a-z0-9-]{1,20}",
        "\\PC{1,40}",
        "https?:/{0,3}[a-z.]{1,9}[?]sig=[a-z]{3}",
        "(Pat|ient/|Patient/|[0-9]){1,4}",
        "[\"\\\\ \\n\\ta-zé✓]{1,12}",
    ];
    near.prop_filter_map("refused", |text| text.parse().ok()).boxed()
}

fn ids() -> BoxedStrategy<Id> {
    "[A-Za-z0-9.-]{1,64}".prop_map(|text| text.parse().unwrap()).boxed()
}

fn digests() -> BoxedStrategy<Sha256> {
    any::<[u8; 32]>().prop_map(Sha256).boxed()
}

fn moments() -> BoxedStrategy<OffsetDateTime> {
    let seconds = -62_135_510_400_i64..253_402_214_400;
    (seconds, 0..1_000_000_000_i64)
        .prop_map(|(second, nano)| {
            OffsetDateTime::from_unix_timestamp(second).unwrap() + time::Duration::nanoseconds(nano)
        })
        .boxed()
}

fn versions() -> BoxedStrategy<VersionId> {
    (1..=u64::MAX).prop_map(|number| VersionId::new(number).unwrap()).boxed()
}

fn some_of<T: Copy + std::fmt::Debug>(all: &'static [T]) -> BoxedStrategy<T> {
    prop::sample::select(all).boxed()
}

fn holders() -> BoxedStrategy<Holder> {
    prop_oneof![
        any::<u128>().prop_map(|id| Holder::Ingest(IngestId(id))),
        (taken(), moments()).prop_map(|(pin, until)| Holder::Retention { pin, until }),
        taken().prop_map(Holder::LegalHold),
    ]
    .boxed()
}

fn downgrades() -> BoxedStrategy<Box<DowngradeAuthorization>> {
    (any::<u64>(), any::<u64>(), taken(), vec(taken(), 0..3), moments())
        .prop_map(|(from, to, reason, approved_by, not_after)| {
            Box::new(DowngradeAuthorization { from, to, reason, approved_by, not_after })
        })
        .boxed()
}

prop_compose! {
    fn asides()(
        kind in some_of(&[ActorKind::Human, ActorKind::Service, ActorKind::Device]),
        id in taken::<ActorId>(),
        before in option::of(versions()),
        written in option::of(versions()),
        update in option::of(taken()),
        verification in option::of((some_of(&[Verdict::Verified, Verdict::Refused, Verdict::Unsigned]), vec(taken(), 0..3))),
    ) -> RecordContext {
        let mut aside = RecordContext::by(Actor { kind, id });
        (aside.before, aside.written, aside.update) = (before, written, update);
        aside.verification = verification.map(|(verdict, keys)| Verification { verdict, keys });
        aside
    }
}

fn drafts() -> BoxedStrategy<AuditDraft> {
    let names = some_of(StateName::ALL);
    let what =
        (moments(), some_of(Action::ALL), option::of(names.clone()), names, option::of(some_of(UploadFailure::ALL)));
    let who = (option::of(taken()), option::of(taken::<Text>()), option::of(any::<u128>()), option::of(holders()));
    let place = (option::of(ids()), option::of(ids()), option::of(versions()));
    let bytes = option::of((digests(), any::<u64>()).prop_map(|(digest, size)| BlobRef { digest, size }));
    let update = (option::of(taken()), option::of(taken()), option::of(any::<u64>()), option::of(digests()));
    let rest = (option::of(downgrades()), option::of(any::<u128>()), option::of(any::<u16>()), option::of(moments()));
    let all = (what, who, place, bytes, option::of(any::<u128>()), update, rest);
    all.prop_map(|((at, action, from, to, reason), who, place, blob, generation, update, rest)| {
        let mut draft = AuditDraft::new(at, action, from, to);
        (draft.reason, draft.blob, draft.generation) = (reason, blob, generation.map(Generation));
        let ingest;
        (draft.actor, draft.comment, ingest, draft.holder) = who;
        draft.ingest = ingest.map(IngestId);
        (draft.device, draft.component, draft.component_version) = place;
        (draft.provider, draft.version, draft.sequence, draft.manifest) = update;
        let later;
        (draft.downgrade, later, draft.attempts, draft.deadline) = rest;
        draft.superseded_by = later.map(IngestId);
        draft
    })
    .boxed()
}

fn records() -> BoxedStrategy<AuditRecord> {
    (drafts(), asides(), any::<u64>(), digests())
        .prop_map(|(draft, aside, index, prev)| {
            let mut record = record_of((draft, aside));
            (record.index, record.prev) = (index, prev);
            record
        })
        .boxed()
}
