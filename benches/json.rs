//! Reading, checking and writing, beside what serde_json does with the same bytes; allocations are counted.
//!
//! ```text
//! cargo bench --bench json
//! ```

mod documents;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use documents::Document;
use fhir_devices::Validate;
use fhir_devices::element::ReadMode;
use fhir_devices::validate::check;
use serde::de::IgnoredAny;
use serde_json::Value;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The documents; a bench of a document that cannot be read would measure nothing, so that there is none then.
fn all() -> Vec<Document> {
    documents::all().unwrap_or_default()
}

/// The floor: the text is looked at, and nothing is kept.
#[divan::bench(args = all())]
fn read_ignored_any(bencher: Bencher<'_, '_>, document: &Document) {
    let json = document.json.as_bytes();
    bencher.counter(BytesCount::of_slice(json)).bench(|| serde_json::from_slice::<IgnoredAny>(divan::black_box(json)));
}

/// A tree of maps and strings, without any check.
#[divan::bench(args = all())]
fn read_value(bencher: Bencher<'_, '_>, document: &Document) {
    let json = document.json.as_bytes();
    bencher.counter(BytesCount::of_slice(json)).bench(|| serde_json::from_slice::<Value>(divan::black_box(json)));
}

/// Ours: the typed value, every check of structure and primitives made.
#[divan::bench(args = all())]
fn read_strict(bencher: Bencher<'_, '_>, document: &Document) {
    let json = document.json.as_bytes();
    bencher.counter(BytesCount::of_slice(json)).bench(|| (document.read)(divan::black_box(json)));
}

/// The rules alone, on a value that was read.
#[divan::bench(args = all())]
fn validate(bencher: Bencher<'_, '_>, document: &Document) {
    let bytes = BytesCount::of_str(&document.json);
    bencher.counter(bytes).bench(|| divan::black_box(&document.resource).validate());
}

/// Reading and the rules, as the example `validate` does it.
#[divan::bench(args = all())]
fn read_and_validate(bencher: Bencher<'_, '_>, document: &Document) {
    let json = document.json.as_bytes();
    bencher.counter(BytesCount::of_slice(json)).bench(|| check(divan::black_box(json), ReadMode::Strict));
}

/// serde_json writing the equal tree.
#[divan::bench(args = all())]
fn write_value(bencher: Bencher<'_, '_>, document: &Document) {
    let value: Value = serde_json::from_str(&document.json).unwrap_or_default();
    let bytes = BytesCount::of_str(&document.json);
    bencher.counter(bytes).bench(|| serde_json::to_string(divan::black_box(&value)));
}

/// Ours.
#[divan::bench(args = all())]
fn write(bencher: Bencher<'_, '_>, document: &Document) {
    let bytes = BytesCount::of_str(&document.json);
    bencher.counter(bytes).bench(|| divan::black_box(&document.resource).to_json());
}
