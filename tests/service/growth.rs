//! What an upload costs where much is at rest: the calls of the stores, and what they give and take, are counted.

#[path = "../common/weighed.rs"]
mod weighed;

use weighed::{
    Ward, holders_of_the_same_bytes, ours, tenants, uploads_of_a_component, uploads_of_others,
    versions_of_the_component,
};

const HOLDERS: &str = "holders of the same bytes";

/// Holds what something costs where little is at rest to what it costs where much is.
fn does_not_grow(what: &str, with: &str, at_rest: impl Fn(&Ward, usize), run: impl Fn(&Ward)) {
    let [few, many] = [12, 300].map(|count| {
        let ward = Ward::new();
        ward.pump(&ours(), 0);
        at_rest(&ward, count);
        ward.store.take();
        run(&ward);
        ward.store.take()
    });
    // Numbers and ids are longer where there are more. The record of who holds the same bytes names 256 holders at most: then
    // another copy of the file is made. It is read and written with each upload of them.
    let holders = if with == HOLDERS { 2 * 256 * 50 } else { 0 };
    let longest = few.bytes + few.bytes / 10 + 200 + holders;
    let fits = many.calls <= few.calls && many.items <= few.items && many.bytes <= longest;
    assert!(fits, "{what} with {with}: {few:?} with 12, {many:?} with 300");
}

#[test]
fn upload_costs_the_same_however_much_is_at_rest() {
    let upload = |ward: &Ward| ward.upload(&ours(), 0, "the same");
    does_not_grow("an upload", "uploads of the component", uploads_of_a_component, upload);
    does_not_grow("an upload", "uploads of other components", uploads_of_others, upload);
    does_not_grow("an upload", HOLDERS, holders_of_the_same_bytes, upload);
    does_not_grow("an upload", "versions of the component", versions_of_the_component, upload);
    does_not_grow("an upload", "tenants", tenants, upload);
}

#[test]
fn read_and_page_cost_the_same_however_much_is_at_rest() {
    for (path, query) in [
        ("DeviceComponent/c0", ""),
        ("DeviceComponent/c0/_history", "_count=5"),
        ("DeviceComponent/_history", "_count=5"),
        ("DeviceComponent", "source=Device/d0&_count=5"),
        ("DeviceComponent", "_sort=-_lastUpdated&_count=5&_total=none"),
    ] {
        let what = format!("GET {path}?{query}");
        for (with, at_rest) in [
            ("versions", versions_of_the_component as fn(&Ward, usize)),
            ("components", uploads_of_others),
            ("tenants", tenants),
        ] {
            does_not_grow(&what, with, at_rest, |ward| ward.answer(path, query));
        }
    }
}
