//! JSON as a tree that borrows from its text: members in their order, numbers and literals as they are written.

use crate::element::{Read, ReadMode, Reader, Writer, plain_value};
use crate::issue::{Issue, IssueType, Path, Report, Severity};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One value of JSON. A text that is borrowed is one that JSON writes as it is: it has no quote, no backslash and no control
/// character.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    /// A number, a boolean or null, as it is written; or an object or array that is kept as it is written.
    Token(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The members of an object, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a> {
    pub(crate) members: Vec<(Cow<'a, str>, Json<'a>)>,
}

/// The memory of a member, and for how many an object has room at first.
const MEMBER: usize = size_of::<(Cow<'static, str>, Json<'static>)>();
const AT_FIRST: usize = 4;
const IN_RESOURCE: usize = 16;

/// How many levels deeper what is carried stands than what it was made from.
const CARRIED: u32 = 8;

/// How many members an object may have before its duplicates are looked for by a set.
const FEW: usize = 24;

impl<'a> Json<'a> {
    /// Reads one document; `root` names it in findings. A member that stands twice is an error.
    pub(crate) fn read(text: &'a str, root: &str) -> Result<Self, Report> {
        Self::read_within(text, root, usize::MAX)
    }

    /// The same with at most `memory` bytes for the tree, beside its text. Reading stops where it would take more.
    pub(crate) fn read_within(text: &'a str, root: &str, memory: usize) -> Result<Self, Report> {
        Self::read_keeping(text, root, memory, &[])
    }

    /// The same of a text that is known to be valid: members of resources with these names are kept as they are written,
    /// where nothing in them is an extension or a reference.
    pub(crate) fn read_keeping(text: &'a str, root: &str, memory: usize, kept: &[&str]) -> Result<Self, Report> {
        let mut r = Reader::new(text, ReadMode::Strict).with_memory(memory).with_more_depth(CARRIED);
        let json = read_value(&mut r, &Path::root(root), kept).and_then(|json| r.end().map(|()| json));
        let report = r.into_report(root);
        match json {
            Ok(json) if !report.has_errors() => Ok(json),
            _ => Err(report),
        }
    }

    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn null() -> Self {
        Self::Token(Cow::Borrowed("null"))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Token(token) if token == "null")
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text, or a number or literal as it is written.
    pub(crate) fn as_scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Token(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn as_object_mut(&mut self) -> Option<&mut Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn as_array_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The items of an array; any other value is taken for the only item.
    pub(crate) fn into_items(self) -> Vec<Self> {
        match self {
            Self::Array(items) => items,
            other => vec![other],
        }
    }

    /// The items of an array; none of any other value.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// Whether both are the same value, whatever the order of the members.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(two)) | (Self::Text(one), Self::Text(two)) => one == two,
            (Self::Array(one), Self::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Self::Object(one), Self::Object(two)) => one.same(two),
            _ => false,
        }
    }

    pub(crate) fn to_text(&self, capacity: usize) -> String {
        let mut w = Writer::with_capacity(capacity);
        self.write(&mut w);
        w.finish()
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Token(token) => w.raw(token),
            Self::Text(text) => write_text(text, w),
            Self::Array(items) => {
                w.raw("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        w.raw(",");
                    }
                    item.write(w);
                }
                w.raw("]");
            }
            Self::Object(object) => {
                w.raw("{");
                for (index, (name, value)) in object.members.iter().enumerate() {
                    if index > 0 {
                        w.raw(",");
                    }
                    write_text(name, w);
                    w.raw(":");
                    value.write(w);
                }
                w.raw("}");
            }
        }
    }
}

/// Writes a text. What was borrowed from a document has no character that needs an escape.
#[allow(clippy::ptr_arg, reason = "whether the text is borrowed decides how it is written")]
fn write_text(text: &Cow<'_, str>, w: &mut Writer) {
    match text {
        Cow::Borrowed(plain) => w.plain_string(plain),
        Cow::Owned(text) => w.string(text),
    }
}

/// How many extensions a list has room for at first: where one is carried, others are.
const EXTENSIONS: usize = 8;

impl<'a> Object<'a> {
    pub(crate) fn with_capacity(members: usize) -> Self {
        Self { members: Vec::with_capacity(members) }
    }

    pub(crate) fn of<const N: usize>(members: [(&'static str, Json<'a>); N]) -> Self {
        Self { members: members.map(|(name, value)| (Cow::Borrowed(name), value)).into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Json<'a>> {
        self.members.iter_mut().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_text)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// What a primitive has beside its value: the member of its name with an underscore.
    pub(crate) fn get_under(&self, name: &str) -> Option<&Json<'a>> {
        self.members.iter().find(|(own, _)| own.strip_prefix('_') == Some(name)).map(|(_, value)| value)
    }

    pub(crate) fn has_under(&self, name: &str) -> bool {
        self.get_under(name).is_some()
    }

    /// Removes a member and gives its value.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let index = self.members.iter().position(|(own, _)| own == name)?;
        Some(self.members.remove(index).1)
    }

    /// Sets a member: in its place where it is there, else at the end.
    pub(crate) fn put(&mut self, name: impl Into<Cow<'a, str>>, value: Json<'a>) {
        let name = name.into();
        match self.get_mut(&name) {
            Some(old) => *old = value,
            None => self.members.push((name, value)),
        }
    }

    /// Sets a member, or does nothing without a value.
    pub(crate) fn put_some(&mut self, name: impl Into<Cow<'a, str>>, value: Option<Json<'a>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Whether every member is one of `names`.
    pub(crate) fn only(&self, names: &[&str]) -> bool {
        self.members.iter().all(|(name, _)| names.contains(&&**name))
    }

    /// Adds an extension behind those that are there, and gives its number.
    pub(crate) fn push_extension(&mut self, extension: Object<'a>) -> usize {
        match self.get_mut("extension") {
            Some(Json::Array(items)) => {
                items.push(Json::Object(extension));
                items.len() - 1
            }
            _ => {
                let mut items = Vec::with_capacity(EXTENSIONS);
                items.push(Json::Object(extension));
                self.put("extension", Json::Array(items));
                0
            }
        }
    }

    /// Removes the last extension with this url that is `wanted`, and gives it.
    pub(crate) fn take_extension(&mut self, url: &str, wanted: impl Fn(&Self) -> bool) -> Option<Self> {
        let items = self.get_mut("extension")?.as_array_mut()?;
        let found =
            |item: &Json<'a>| item.as_object().is_some_and(|item| item.text("url") == Some(url) && wanted(item));
        let index = items.iter().rposition(found)?;
        let found = items.remove(index);
        if items.is_empty() {
            self.take("extension");
        }
        match found {
            Json::Object(found) => Some(found),
            _ => None,
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        if self.members.len() != other.members.len() {
            return false;
        }
        let alike = |one: &(Cow<'a, str>, Json<'a>), two: &(Cow<'a, str>, Json<'a>)| one.0 == two.0;
        if self.members.iter().zip(&other.members).all(|(one, two)| alike(one, two)) {
            return self.members.iter().zip(&other.members).all(|(one, two)| one.1.same(&two.1));
        }
        let sorted = |object: &'_ Self| {
            let mut order: Vec<usize> = (0..object.members.len()).collect();
            order.sort_by_key(|index| object.members.get(*index).map(|(name, _)| name.to_string()));
            order
        };
        sorted(self).into_iter().zip(sorted(other)).all(|(one, two)| {
            let pair = self.members.get(one).zip(other.members.get(two));
            pair.is_some_and(|(one, two)| one.0 == two.0 && one.1.same(&two.1))
        })
    }
}

fn read_value<'a>(r: &mut Reader<'a>, at: &Path<'_>, kept: &[&str]) -> Read<Json<'a>> {
    match r.peek() {
        Some(b'{') => {
            let is_resource = !kept.is_empty() && is_resource(at);
            r.enter()?;
            // A resource has more members than an element.
            let room = if at.parent().is_none() { IN_RESOURCE } else { AT_FIRST };
            let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::with_capacity(room);
            r.charge(room * MEMBER)?;
            let mut names = BTreeSet::new();
            while r.more(b'}', members.is_empty())? {
                r.peek();
                let offset = r.offset();
                let name = r.key()?;
                if members.len() >= room {
                    r.charge(2 * MEMBER)?;
                }
                // A valid text has none twice.
                if kept.is_empty() && is_there(&members, &mut names, &name) {
                    let message = "found the member a second time";
                    let here = at.child(&name);
                    r.find_as(Severity::Error, offset, "duplicate-member", IssueType::Structure, &here, message);
                }
                let may_be_kept = is_resource && matches!(r.peek(), Some(b'{' | b'[')) && kept.contains(&&*name);
                let plain = if may_be_kept { plain_value(r.rest()) } else { None };
                let value = match plain {
                    Some(text) => {
                        r.step_over(text);
                        Json::Token(Cow::Borrowed(text))
                    }
                    None => read_value(r, &at.child(&name), kept)?,
                };
                members.push((name, value));
            }
            Ok(Json::Object(Object { members }))
        }
        Some(b'[') => {
            r.enter()?;
            let mut items = Vec::new();
            while r.more(b']', items.is_empty())? {
                r.charge(2 * size_of::<Json<'a>>())?;
                let item = read_value(r, &at.indexed(items.len()), kept)?;
                items.push(item);
            }
            Ok(Json::Array(items))
        }
        Some(b'"') => r.string().map(Json::Text),
        _ => {
            let start = r.offset();
            r.skip(at)?;
            Ok(Json::Token(Cow::Borrowed(r.text_since(start))))
        }
    }
}

/// Whether an object at that place is a resource.
fn is_resource(at: &Path<'_>) -> bool {
    at.parent().is_none() || at.name() == "resource" || at.name() == "contained"
}

/// Whether a member of that name was read before. Few are looked through, many are kept in a set.
fn is_there<'a>(members: &[(Cow<'a, str>, Json<'a>)], names: &mut BTreeSet<String>, name: &str) -> bool {
    if members.len() < FEW {
        return members.iter().any(|(own, _)| own == name);
    }
    if names.is_empty() {
        names.extend(members.iter().map(|(own, _)| own.to_string()));
    }
    !names.insert(name.to_owned())
}

/// The report of a document that is no object.
pub(super) fn not_an_object() -> Report {
    let message = "found no object, wanted a resource";
    Report::from_iter([Issue::new("wrong-type", Severity::Error, IssueType::Structure, "Resource", message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_tree_round_trips() {
        let text = r#"{"a":[1.50,null,{"b":"\u0001\n\"","c":{}}],"_a":[],"d":true}"#;
        assert_eq!(Json::read(text, "Device").unwrap().to_text(0), text);
    }

    #[test]
    fn tree_beyond_its_memory_limit_is_refused() {
        let text = format!("[{}0]", "{},".repeat(1_000));
        assert!(Json::read_within(&text, "Device", 1 << 20).is_ok());
        let report = Json::read_within(&text, "Device", 1 << 16).unwrap_err();
        assert_eq!(report.issues()[0].rule, "too-many-elements");
    }

    #[test]
    fn plain_values_are_kept_as_they_are_written() {
        for (text, is_kept) in [
            (r#"{"a":[{"b":"x\\\"}","c":1.50}],"d":[]}"#, true),
            (r#"[{"text":"extension of it"}]"#, true),
            (r#"{"extension":[{"url":"u"}]}"#, false),
            (r#"{"a":{"modifierExtension":[]}}"#, false),
            (r#"{"a":{"reference":"Device/1"}}"#, false),
            (r#"{"a": 1}"#, false),
            (r#"[[[[[[[[1]]]]]]]]"#, true),
            (r#"[[[[[[[[[1]]]]]]]]]"#, false),
            (r#""text""#, false),
            ("1", false),
        ] {
            let document = format!("{{\"k\":{text},\"z\":{{\"k\":{text}}}}}");
            let read = Json::read_keeping(&document, "Device", usize::MAX, &["k"]).unwrap();
            let own = read.as_object().unwrap();
            assert_eq!(
                matches!(own.get("k"), Some(Json::Token(kept)) if kept == text && text.len() > 1),
                is_kept,
                "{text}"
            );
            let inner = own.get("z").and_then(Json::as_object).unwrap();
            assert!(
                !matches!(inner.get("k"), Some(Json::Token(kept)) if kept.len() > 1),
                "only members of resources are kept: {text}"
            );
            assert_eq!(read.to_text(0), Json::read(&document, "Device").unwrap().to_text(0));
        }
    }

    #[test]
    fn duplicate_member_is_refused_at_its_path() {
        let report = Json::read(r#"{"a":[{"b":1,"b":2}]}"#, "Device").unwrap_err();
        assert_eq!((report.issues()[0].rule.as_ref(), &*report.issues()[0].at), ("duplicate-member", "Device.a[0].b"));
        let many: String = (0..50).map(|n| format!("\"m{n}\":0,")).collect();
        assert!(Json::read(&format!("{{{many}\"m3\":1}}"), "Device").is_err());
        assert!(Json::read(&format!("{{{many}\"m\":1}}"), "Device").is_ok());
    }

    #[test]
    fn equality_ignores_member_order_and_keeps_digits() {
        let same = |one, two| Json::read(one, "").unwrap().same(&Json::read(two, "").unwrap());
        assert!(same(r#"{"a":1,"b":[2]}"#, r#"{"b":[2],"a":1}"#));
        assert!(!same(r#"{"a":1.0}"#, r#"{"a":1}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"b":1}"#));
    }
}
