//! Shrinking documents, one member, item or text at a time, while they stay valid.

use super::json::Json;

/// A change that makes a document smaller.
#[derive(Debug)]
pub(super) enum Edit {
    /// Removes a member of the object at these steps, and its companion `_name`.
    Remove { steps: Vec<usize>, name: String },
    /// Removes the id and extensions beside the value of a primitive, in the object at these steps.
    RemoveExtras { steps: Vec<usize>, name: String },
    /// Removes an item of the arrays `name` and `_name` of the object at these steps.
    RemoveItem { steps: Vec<usize>, name: String, index: usize },
    /// Removes a contained resource of the resource at these steps, and the local references to it.
    Uncontain { steps: Vec<usize>, index: usize },
    /// Replaces a value by a simpler text, number, boolean or code, or by the plainest element of its kind.
    Replace { steps: Vec<usize>, value: Json },
}

/// The simplest texts. Shrinking of a text ends at the first one that is valid in its place.
const PLAIN: &[&str] = &[
    "a",
    "2017",
    "http://a.example",
    "00:00:00",
    "2017-01-01T00:00:00Z",
    "AAAA",
    "urn:oid:0",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>",
];

/// Returns the plainest elements: a concept, an identifier, a reference, an extension and an extension inside one.
fn plain_elements() -> [Json; 5] {
    let value = || ("valueString", Json::text("a"));
    [
        Json::object([("text", Json::text("a"))]),
        Json::object([("value", Json::text("a"))]),
        Json::object([("display", Json::text("a"))]),
        Json::object([("url", Json::text("http://a.example")), value()]),
        Json::object([("url", Json::text("a")), value()]),
    ]
}

/// Returns the changes to try, the largest first.
pub(super) fn edits(json: &Json) -> Vec<Edit> {
    let mut removals = Vec::new();
    let mut texts = Vec::new();
    visit(json, &mut Vec::new(), &mut removals, &mut texts);
    removals.append(&mut texts);
    removals
}

fn visit(json: &Json, steps: &mut Vec<usize>, removals: &mut Vec<Edit>, texts: &mut Vec<Edit>) {
    if !steps.is_empty() && !json.members().is_empty() {
        let plainer = |plain: &Json| plain.size() <= json.size() && plain.to_text().len() < json.to_text().len();
        let plainer = plain_elements().into_iter().filter(plainer);
        removals.extend(plainer.map(|value| Edit::Replace { steps: steps.clone(), value }));
    }
    for (name, value) in json.members() {
        let owner = name.strip_prefix('_').filter(|owner| json.get(owner).is_some());
        if let Some(owner) = owner {
            removals.push(Edit::RemoveExtras { steps: steps.clone(), name: owner.to_owned() });
        } else if name != "resourceType" {
            let name = name.trim_start_matches('_').to_owned();
            removals.push(Edit::Remove { steps: steps.clone(), name });
        }
        let count = value.items().len();
        for index in (0..count).filter(|_| count > 1 && owner.is_none()) {
            let name = name.trim_start_matches('_').to_owned();
            removals.push(Edit::RemoveItem { steps: steps.clone(), name, index });
        }
        for index in (0..count).filter(|_| name == "contained") {
            removals.push(Edit::Uncontain { steps: steps.clone(), index });
        }
    }
    let children = json.members().iter().map(|(_, value)| value).chain(json.items());
    for (index, child) in children.enumerate() {
        steps.push(index);
        visit(child, steps, removals, texts);
        steps.pop();
    }
    texts.extend(simpler(json).into_iter().map(|value| Edit::Replace { steps: steps.clone(), value }));
}

/// Returns simpler values than a text, number, boolean or code, the simplest first.
fn simpler(json: &Json) -> Vec<Json> {
    match json {
        Json::Code { codes, index } => (0..*index).map(|index| Json::Code { codes, index }).collect(),
        Json::Token(token) if token == "true" => vec![Json::Token("false".to_owned())],
        Json::Token(token) if token.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            shorter(token, &["0", "1"]).into_iter().map(Json::Token).collect()
        }
        Json::Text(text) => shorter(text, PLAIN).into_iter().map(Json::Text).collect(),
        _ => Vec::new(),
    }
}

fn shorter(text: &str, plain: &[&str]) -> Vec<String> {
    let simple = plain.iter().position(|plain| *plain == text).unwrap_or(plain.len());
    let chars: Vec<char> = text.chars().collect();
    let plainer = plain.iter().take(simple).filter(|plain| plain.len() <= chars.len());
    let mut found: Vec<String> = plainer.map(|plain| (*plain).to_owned()).collect();
    // A URI or XHTML is not shortened: half of it is not valid.
    if simple == plain.len() && !text.contains("://") && !text.starts_with('<') && chars.len() > 1 {
        let half = chars.len() / 2;
        found.push(chars.iter().take(half).collect());
        found.push(chars.iter().skip(half).collect());
        found.push(chars.iter().take(chars.len() - 1).collect());
        found.push(chars.iter().skip(1).collect());
    }
    found
}

/// Returns the changed document; `None` where the place of the change does not exist.
pub(super) fn edited(json: &Json, edit: &Edit) -> Option<Json> {
    let mut json = json.clone();
    match edit {
        Edit::Remove { steps, name } => json.at_mut(steps)?.remove(name),
        Edit::RemoveExtras { steps, name } => {
            let under = format!("_{name}");
            json.at_mut(steps)?.members_mut()?.retain(|(other, _)| *other != under);
        }
        Edit::RemoveItem { steps, name, index } => {
            for (other, value) in json.at_mut(steps)?.members_mut()? {
                if other.trim_start_matches('_') == name
                    && let Json::Array(items) = value
                    && *index < items.len()
                {
                    items.remove(*index);
                }
            }
        }
        Edit::Uncontain { steps, index } => uncontain(json.at_mut(steps)?, *index)?,
        Edit::Replace { steps, value } => *json.at_mut(steps)? = value.clone(),
    }
    Some(json)
}

fn uncontain(resource: &mut Json, index: usize) -> Option<()> {
    let contained = resource.get("contained")?;
    let id = contained.items().get(index)?.get("id")?.as_text()?.to_owned();
    let members = resource.members_mut()?;
    let (_, contained) = members.iter_mut().find(|(name, _)| name == "contained")?;
    if let Json::Array(items) = contained {
        items.remove(index);
        if items.is_empty() {
            resource.remove("contained");
        }
    }
    unrefer(resource, &format!("#{id}"));
    Some(())
}

/// Turns the references to `literal` into displays.
fn unrefer(json: &mut Json, literal: &str) {
    if json.get("reference").and_then(Json::as_text) == Some(literal) {
        json.remove("reference");
        if json.members().iter().all(|(name, _)| name == "id") {
            json.set("display", Json::text("a"));
        }
    }
    match json {
        Json::Object(members) => members.iter_mut().for_each(|(_, value)| unrefer(value, literal)),
        Json::Array(items) => items.iter_mut().for_each(|item| unrefer(item, literal)),
        _ => {}
    }
}
