//! JSON that keeps the order of members and the digits of numbers, from which documents are made.

use crate::element::{Read, ReadMode, Reader, Writer};
use crate::issue::Path;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    /// A code of a closed set; the first is the simplest.
    Code {
        codes: &'static [&'static str],
        index: usize,
    },
    /// A number, a boolean or null.
    Token(String),
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn null() -> Self {
        Self::Token("null".to_owned())
    }

    pub(super) fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Parses a JSON text; returns `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut r = Reader::new(text, ReadMode::Strict);
        let json = parse(&mut r).ok()?;
        r.end().ok()?;
        Some(json)
    }

    pub(super) fn to_text(&self) -> String {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Object(members) => {
                w.raw("{");
                for (index, (name, value)) in members.iter().enumerate() {
                    w.raw(if index > 0 { "," } else { "" });
                    w.string(name);
                    w.raw(":");
                    value.write(w);
                }
                w.raw("}");
            }
            Self::Array(items) => {
                w.raw("[");
                for (index, item) in items.iter().enumerate() {
                    w.raw(if index > 0 { "," } else { "" });
                    item.write(w);
                }
                w.raw("]");
            }
            Self::Text(text) => w.string(text),
            Self::Code { codes, index } => w.string(codes.get(*index).copied().unwrap_or_default()),
            Self::Token(token) => w.raw(token),
        }
    }

    /// Returns the members of an object; none for any other value.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn members_mut(&mut self) -> Option<&mut Vec<(String, Self)>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Returns the number of values, this one included.
    pub(super) fn size(&self) -> usize {
        let members = self.members().iter().map(|(_, value)| value);
        1 + members.chain(self.items()).map(Self::size).sum::<usize>()
    }

    /// Returns the content of a string.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Code { codes, index } => codes.get(*index).copied(),
            _ => None,
        }
    }

    /// Removes the member `name` and its companion `_name`.
    pub(super) fn remove(&mut self, name: &str) {
        if let Self::Object(members) = self {
            members.retain(|(other, _)| other.trim_start_matches('_') != name);
        }
    }

    /// Sets the member `name`, in place or at the end.
    pub(super) fn set(&mut self, name: &str, value: Self) {
        let Self::Object(members) = self else { return };
        match members.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_owned(), value)),
        }
    }

    fn child_mut(&mut self, index: usize) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.get_mut(index).map(|(_, value)| value),
            Self::Array(items) => items.get_mut(index),
            _ => None,
        }
    }

    /// Returns the value at a path of member and item numbers.
    pub(super) fn at_mut(&mut self, steps: &[usize]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |json, step| json.child_mut(*step))
    }

    /// Returns the value at an expression without its root, such as `udi.name`. The members of a primitive are looked
    /// up in its companion with `_`.
    pub(super) fn find_mut(&mut self, expression: &str) -> Option<&mut Self> {
        let steps = self.steps(expression)?;
        self.at_mut(&steps)
    }

    fn steps(&self, expression: &str) -> Option<Vec<usize>> {
        let expression = expression.trim_start_matches('.');
        if expression.is_empty() {
            return Some(Vec::new());
        }
        if let Some(inner) = expression.strip_prefix('[') {
            let (index, rest) = inner.split_once(']')?;
            let index: usize = index.parse().ok()?;
            return step(index, self.items().get(index)?, rest);
        }
        let end = expression.find(['.', '[']).unwrap_or(expression.len());
        let (name, rest) = expression.split_at_checked(end)?;
        let members = self.members().iter().enumerate();
        let mut named = members.filter(|(_, (other, _))| other.strip_prefix('_').unwrap_or(other) == name);
        named.find_map(|(index, (_, value))| step(index, value, rest))
    }
}

fn step(index: usize, value: &Json, rest: &str) -> Option<Vec<usize>> {
    let mut steps = value.steps(rest)?;
    steps.insert(0, index);
    Some(steps)
}

fn parse(r: &mut Reader<'_>) -> Read<Json> {
    match r.peek() {
        Some(b'{') => {
            let mut members = Vec::new();
            r.enter()?;
            while r.more(b'}', members.is_empty())? {
                let name = r.key()?.into_owned();
                members.push((name, parse(r)?));
            }
            Ok(Json::Object(members))
        }
        Some(b'[') => {
            let mut items = Vec::new();
            r.enter()?;
            while r.more(b']', items.is_empty())? {
                items.push(parse(r)?);
            }
            Ok(Json::Array(items))
        }
        Some(b'"') => r.string().map(|text| Json::Text(text.into_owned())),
        _ => {
            let start = r.offset();
            r.skip(&Path::root(""))?;
            Ok(Json::Token(r.text_since(start).to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_json_round_trips() {
        for text in [r#"{"a":[1.50,null,{"b":"\u0001\n\"","c":{}}],"_a":[]}"#, "true", "\"\""] {
            assert_eq!(Json::parse(text).unwrap().to_text(), text);
        }
        assert_eq!(Json::parse("{"), None);
        assert_eq!(Json::parse("1 2"), None);
    }

    #[test]
    fn expression_finds_its_value() {
        let mut json = Json::parse(r#"{"a":[{"b":1},{"b":2}],"c":"d","_c":{"id":"e"}}"#).unwrap();
        assert_eq!(json.find_mut("a[1].b").map(|found| found.to_text()).as_deref(), Some("2"));
        assert_eq!(json.find_mut("c.id").map(|found| found.to_text()).as_deref(), Some("\"e\""));
        assert_eq!(json.find_mut("a[2]"), None);
    }
}
