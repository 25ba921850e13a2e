//! The rules that a document has to follow, applied while it is generated, so that few documents are rejected.

use super::json::Json;
use super::texts::{AMOUNT, COUNT, EXTENSION_URL};
use crate::issue::{Report, Severity};

/// Rows that need another: path, row, and the row that it needs.
const NEEDS: &[(&str, &str, &str)] = &[
    ("Attachment", "data", "contentType"),
    ("ContactPoint", "value", "system"),
    ("Quantity", "code", "system"),
    ("SimpleQuantity", "code", "system"),
    ("Age", "code", "system"),
    ("Age", "value", "code"),
    ("Count", "code", "system"),
    ("Count", "value", "code"),
    ("Distance", "code", "system"),
    ("Distance", "value", "code"),
    ("Duration", "code", "system"),
    ("Duration", "code", "value"),
    ("Money", "code", "system"),
    ("Money", "value", "code"),
    ("Ratio", "numerator", "denominator"),
    ("Ratio", "denominator", "numerator"),
    ("Timing.repeat", "periodMax", "period"),
    ("Timing.repeat", "durationMax", "duration"),
    ("Timing.repeat", "countMax", "count"),
    ("Timing.repeat", "duration", "durationUnit"),
    ("Timing.repeat", "period", "periodUnit"),
    ("Timing.repeat", "offset", "when"),
];

/// Returns whether a row is allowed in a bundle of the type `bundle`.
pub(super) fn allowed(bundle: &str, path: &str, name: &str) -> bool {
    match (path, name) {
        // The first entry would have to be a Composition or a MessageHeader, which the kit does not make.
        ("Bundle", "entry") => !matches!(bundle, "document" | "message"),
        ("Bundle", "total") => matches!(bundle, "searchset" | "history"),
        ("Bundle.entry", "search") => bundle == "searchset",
        ("Bundle.entry", "request") => matches!(bundle, "batch" | "transaction" | "history"),
        ("Bundle.entry", "response") => matches!(bundle, "batch-response" | "transaction-response"),
        _ => true,
    }
}

/// Adds the rows that the chosen rows need, and removes those that they exclude.
pub(super) fn complete(path: &str, bundle: &str, coin: bool, chosen: &mut Vec<&'static str>) {
    match path {
        "Extension" => {
            // An extension has either extensions or a value.
            let parts = chosen.contains(&"extension") && (coin || !chosen.contains(&"value[x]"));
            chosen.retain(|name| !matches!(*name, "extension" | "value[x]"));
            chosen.push(if parts { "extension" } else { "value[x]" });
        }
        "Bundle.entry" if !chosen.iter().any(|name| matches!(*name, "resource" | "request" | "response")) => {
            let asked = coin && allowed(bundle, path, "request");
            chosen.push(if asked { "request" } else { "resource" });
        }
        _ => {}
    }
    let addressed = !matches!(bundle, "batch" | "transaction" | "batch-response" | "transaction-response");
    if path == "Bundle.entry" && addressed && chosen.contains(&"resource") {
        chosen.push("fullUrl");
    }
    let mut known = 0;
    while known < chosen.len() {
        known = chosen.len();
        for (_, one, other) in NEEDS.iter().filter(|(of, ..)| *of == path) {
            if chosen.contains(one) && !chosen.contains(other) {
                chosen.push(other);
            }
        }
    }
    if path == "Timing.repeat" && chosen.contains(&"when") {
        chosen.retain(|name| *name != "timeOfDay");
    }
}

/// The text that the rules allow for an element.
pub(super) enum Wanted {
    Exactly(&'static str),
    Of(&'static str),
    Any,
}

/// Returns the text that the rules allow for an element; `part` says that it belongs to an extension inside an
/// extension.
pub(super) fn text(path: &str, name: &str, part: bool) -> Wanted {
    match (path, name) {
        ("Extension", "url") => Wanted::Of(if part { "id" } else { EXTENSION_URL }),
        ("Age" | "Count" | "Distance" | "Duration", "system") => Wanted::Exactly("http://unitsofmeasure.org"),
        ("Money", "system") => Wanted::Exactly("urn:iso:std:iso:4217"),
        ("Count", "code") => Wanted::Exactly("1"),
        ("Age" | "Duration", "code") => Wanted::Exactly("h"),
        ("Distance", "code") => Wanted::Exactly("m"),
        (_, "language") => Wanted::Exactly("de-CH"),
        ("Count", "value") => Wanted::Of(COUNT),
        ("Age", "value") | ("Timing.repeat", "duration" | "period") => Wanted::Of(AMOUNT),
        _ => Wanted::Any,
    }
}

/// Returns whether a primitive needs a value, so that extensions cannot replace it.
pub(super) fn stated(path: &str, name: &str) -> bool {
    matches!((path, name), ("Age" | "Count" | "Distance" | "Duration" | "Money", "system") | ("Bundle", "type"))
}

/// Removes members that break a rule comparing two values, and a contained resource to which nothing refers, and returns
/// whether it removed any; `root` is the path of the document.
pub(super) fn mend(json: &mut Json, root: &str, report: &Report) -> bool {
    let mut mended = false;
    for issue in report.iter().filter(|issue| issue.severity <= Severity::Error) {
        let member = match &*issue.rule {
            "per-1" => "end",
            "rng-2" => "high",
            "tim-9" => "offset",
            "attachment-hash" => "hash",
            "attachment-size" => "size",
            // What referred to it may have been in a member that was removed. The places of others change with it.
            "dom-3" => return remove_contained(json, root, &issue.at) || mended,
            _ => continue,
        };
        if let Some(element) = issue.at.strip_prefix(root).and_then(|below| json.find_mut(below)) {
            element.remove(member);
            mended = true;
        }
    }
    mended
}

/// Removes the contained resource whose id is at a place, and returns whether there is one.
fn remove_contained(json: &mut Json, root: &str, id: &str) -> bool {
    let place = id.strip_suffix("].id").and_then(|item| item.rsplit_once(".contained["));
    let Some((owner, Ok(index))) = place.map(|(owner, index)| (owner, index.parse::<usize>())) else { return false };
    let owner = owner.strip_prefix(root).and_then(|below| json.find_mut(below));
    let Some(members) = owner.and_then(Json::members_mut) else { return false };
    let Some((_, Json::Array(items))) = members.iter_mut().find(|(name, _)| name == "contained") else { return false };
    if index >= items.len() {
        return false;
    }
    items.remove(index);
    if items.is_empty() {
        members.retain(|(name, _)| name != "contained");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{Issue, IssueType};

    #[test]
    fn mend_removes_contained_resources_without_reference() {
        let text = r#"{"resourceType":"Device","contained":[{"id":"c1"},{"id":"c2"}]}"#;
        let mut json = Json::parse(text).unwrap();
        for (at, left) in [("Device.contained[1].id", r#","contained":[{"id":"c1"}]"#), ("Device.contained[0].id", "")]
        {
            let issue = Issue::new("dom-3", Severity::Error, IssueType::Invariant, at, "a");
            assert!(mend(&mut json, "Device", &Report::from_iter([issue.clone()])));
            assert_eq!(json.to_text(), format!(r#"{{"resourceType":"Device"{left}}}"#));
            assert!(!mend(&mut json, "Device", &Report::from_iter([issue])));
        }
    }

    #[test]
    fn mend_removes_what_breaks_a_rule() {
        for (root, at) in [("Period", "Period"), ("Device.udi", "Device.udi.extension[0].valuePeriod")] {
            let text = r#"{"start":"2018","end":"2017","_end":{"id":"e"}}"#;
            let whole =
                if at == root { text.to_owned() } else { format!(r#"{{"extension":[{{"valuePeriod":{text}}}]}}"#) };
            let mut json = Json::parse(&whole).unwrap();
            let issue = Issue::new("per-1", Severity::Error, IssueType::Invariant, at, "a");
            assert!(mend(&mut json, root, &Report::from_iter([issue.clone()])));
            assert_eq!(json.to_text(), whole.replace(r#","end":"2017","_end":{"id":"e"}"#, ""));
            let other = Issue { rule: "per-2".into(), ..issue };
            assert!(!mend(&mut json, root, &Report::from_iter([other])));
        }
    }
}
