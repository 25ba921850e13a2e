//! References between the entries of a transaction, in the JSON of a resource.

use super::bundle_writer::quoted;
use crate::support::json_string_length;

/// What a reference becomes, if it changes.
pub(super) type Change<'a> = dyn FnMut(&str) -> Option<String> + Send + 'a;

/// Puts every reference of a resource through `change`: the literals of references, uris of extensions, and the links of
/// the text for people. The resource is compact JSON.
pub(super) fn rewrite(json: &str, change: &mut Change<'_>) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    let mut key = "";
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start);
        let (string, after) = string.split_at(json_string_length(string));
        out.push_str(before);
        rest = after;
        if after.starts_with(':') {
            key = string;
            out.push_str(string);
            continue;
        }
        let changed = match key {
            "\"reference\"" | "\"valueUri\"" => decoded(string).and_then(|text| change(&text)),
            "\"div\"" => decoded(string).and_then(|text| links(&text, change)),
            _ => None,
        };
        match changed {
            Some(text) => out.push_str(&quoted(text)),
            None => out.push_str(string),
        }
    }
    out.push_str(rest);
    out
}

fn decoded(string: &str) -> Option<String> {
    serde_json::from_str(string).ok()
}

/// Returns the links of a narrative, changed; `None` where none changes.
fn links(html: &str, change: &mut Change<'_>) -> Option<String> {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    let mut any = false;
    while let Some(at) = rest.find('=') {
        let (before, value) = rest.split_at(at + 1);
        out.push_str(before);
        rest = value;
        if !before.ends_with("href=") && !before.ends_with("src=") {
            continue;
        }
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some((target, _)) = value.get(1..).and_then(|inner| inner.split_once(quote)) else { continue };
        let Some(new) = change(target) else { continue };
        any = true;
        out.push(quote);
        out.push_str(&new);
        rest = value.get(1 + target.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    any.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_rewritten() {
        let mut change = |text: &str| (text == "urn:uuid:1").then(|| "Device/7".to_owned());
        for (json, changed) in [
            (r#"{"source":{"reference":"urn:uuid:1"}}"#, r#"{"source":{"reference":"Device/7"}}"#),
            (r#"{"source":{"reference":"urn:uuid:\u0031"}}"#, r#"{"source":{"reference":"Device/7"}}"#),
            (r#"{"identifier":{"value":"urn:uuid:1"}}"#, r#"{"identifier":{"value":"urn:uuid:1"}}"#),
            (r#"{"a":["\"reference\"","urn:uuid:1",1.50]}"#, r#"{"a":["\"reference\"","urn:uuid:1",1.50]}"#),
            (
                r#"{"extension":[{"url":"u","valueUri":"urn:uuid:1"}]}"#,
                r#"{"extension":[{"url":"u","valueUri":"Device/7"}]}"#,
            ),
            (
                r##"{"div":"<div><a href=\"urn:uuid:1\">urn:uuid:1</a><img src='urn:uuid:1'/><a href=\"#x\"/></div>"}"##,
                r##"{"div":"<div><a href=\"Device/7\">urn:uuid:1</a><img src='Device/7'/><a href=\"#x\"/></div>"}"##,
            ),
            (r#"{"reference":"urn:uuid:12"}"#, r#"{"reference":"urn:uuid:12"}"#),
        ] {
            assert_eq!(rewrite(json, &mut change), changed);
        }
    }
}
