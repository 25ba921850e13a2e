//! Ways to inject a fault into an element.

use super::json::Json;
use super::mutations::{InjectedFault, Spot, Way};
use crate::element::{Definition, ElementDef, Max, TypeDef};

/// Returns the row and the type of the member `name`.
pub(super) fn row(definition: &Definition, name: &str) -> Option<(&'static ElementDef, &'static TypeDef)> {
    let rows = definition.rows.iter();
    rows.flat_map(|row| (row.types)().iter().map(move |one| (row, one))).find(|(row, one)| row.member(one) == name)
}

/// Returns the ways to put the fault into `element`.
pub(super) fn ways(fault: InjectedFault, spot: &Spot, element: &Json) -> Vec<Way> {
    let members = element.members().iter();
    let typed = members.filter_map(|(name, value)| {
        let (row, one) = row(spot.definition, name)?;
        Some(Typed { spot, element, name, value, row, one })
    });
    match fault {
        InjectedFault::UnknownMember => {
            let mut element = element.clone();
            element.set("noSuchMember", Json::Token("1".to_owned()));
            vec![Way { element, rule: "unknown-member", at: format!("{}.noSuchMember", spot.at) }]
        }
        InjectedFault::Missing => typed.filter_map(|member| member.missing()).collect(),
        InjectedFault::BadCode => typed
            .filter(|member| !member.one.codes.is_empty())
            .flat_map(|member| member.values("required-binding", |_| Some(Json::text("no-such-code"))))
            .collect(),
        InjectedFault::WrongType => typed
            .flat_map(|member| {
                member.values("wrong-type", |value| {
                    Some(match value {
                        Json::Text(_) | Json::Code { .. } => Json::Token("1".to_owned()),
                        _ => Json::text("a"),
                    })
                })
            })
            .collect(),
        InjectedFault::Malformed => typed.filter_map(|member| member.malformed()).flatten().collect(),
        InjectedFault::EmptyString => {
            typed.flat_map(|member| member.values("empty", |value| value.as_text().map(|_| Json::text("")))).collect()
        }
        InjectedFault::EmptyObject => typed
            .filter(|member| member.one.definition.is_some_and(|inner| !inner().is_resource()))
            .flat_map(|member| member.values("ele-1", |_| Some(Json::object([]))))
            .collect(),
        InjectedFault::EmptyArray => {
            typed.filter(Typed::repeats).map(|member| member.whole("empty", Json::Array(Vec::new()))).collect()
        }
        InjectedFault::Null => typed.map(|member| member.whole("null", Json::null())).collect(),
        InjectedFault::Repeated => typed
            .filter(|member| !member.repeats())
            .map(|member| member.whole("max-cardinality", Json::Array(vec![member.value.clone()])))
            .collect(),
        InjectedFault::NotRepeated => typed
            .filter(Typed::repeats)
            .filter_map(|member| {
                let first = member.value.items().iter().find(|item| **item != Json::null())?;
                Some(member.whole("wrong-type", first.clone()))
            })
            .collect(),
        InjectedFault::Duplicate => typed.filter_map(|member| member.twice()).collect(),
        InjectedFault::TwoChoices => typed.filter_map(|member| member.beside()).collect(),
        InjectedFault::WrongTarget => typed
            .filter(|member| !member.one.targets.is_empty())
            .flat_map(|member| member.values("reference-target", |value| refer(value, "Slot/1")))
            .collect(),
        InjectedFault::BrokenRule => broken_rules(spot, element),
        InjectedFault::BrokenContainment => {
            let references = typed.filter(|member| member.one.name == "Reference");
            let mut ways: Vec<Way> =
                references.flat_map(|member| member.values("ref-1", |value| refer(value, "#no-such-id"))).collect();
            ways.extend(unreferred(spot, element));
            ways
        }
    }
}

/// Returns the reference with another `reference` text.
fn refer(reference: &Json, literal: &str) -> Option<Json> {
    let mut reference = reference.clone();
    reference.remove("reference");
    reference.set("reference", Json::text(literal));
    Some(reference)
}

/// A member with its row in the type's table and its type.
struct Typed<'d> {
    spot: &'d Spot,
    element: &'d Json,
    name: &'d str,
    value: &'d Json,
    row: &'static ElementDef,
    one: &'static TypeDef,
}

impl Typed<'_> {
    fn repeats(&self) -> bool {
        self.row.max == Max::Many
    }

    fn at(&self) -> String {
        format!("{}.{}", self.spot.at, self.name)
    }

    /// Replaces the value of the whole member.
    fn whole(&self, rule: &'static str, value: Json) -> Way {
        let mut element = self.element.clone();
        element.set(self.name, value);
        Way { element, rule, at: self.at() }
    }

    /// Replaces the value of the member, or of each of its items.
    fn values(&self, rule: &'static str, other: impl Fn(&Json) -> Option<Json>) -> Vec<Way> {
        if !self.repeats() {
            return other(self.value).map(|value| self.whole(rule, value)).into_iter().collect();
        }
        let items = self.value.items().iter().enumerate().filter(|(_, item)| **item != Json::null());
        let each = items.filter_map(|(index, item)| {
            let mut items = self.value.items().to_vec();
            *items.get_mut(index)? = other(item)?;
            let way = self.whole(rule, Json::Array(items));
            Some(Way { at: format!("{}[{index}]", way.at), ..way })
        });
        each.collect()
    }

    fn missing(&self) -> Option<Way> {
        let mut element = self.element.clone();
        element.remove(self.name);
        // An element without content would be another fault.
        let content = element.members().iter().any(|(name, _)| name != "id");
        let at = format!("{}.{}", self.spot.at, self.row.name);
        (self.row.min > 0 && content).then_some(Way { element, rule: "min-cardinality", at })
    }

    fn malformed(&self) -> Option<Vec<Way>> {
        let bad = match self.one.name {
            "base64Binary" => Json::text("A"),
            "code" if self.one.codes.is_empty() => Json::text("a "),
            "date" | "dateTime" | "instant" => Json::text("2017-02-30"),
            "decimal" => Json::Token("1e2".to_owned()),
            "id" => Json::text("a b"),
            "integer" => Json::Token("1.5".to_owned()),
            "oid" => Json::text("1.2.3"),
            "positiveInt" => Json::Token("0".to_owned()),
            "time" => Json::text("24:00:00"),
            "unsignedInt" => Json::Token("-1".to_owned()),
            "uri" => Json::text("a b"),
            "xhtml" => Json::text("<p>a</p>"),
            _ => return None,
        };
        Some(self.values(self.one.name, |_| Some(bad.clone())))
    }

    fn twice(&self) -> Option<Way> {
        let mut element = self.element.clone();
        let copy = (self.name.to_owned(), self.value.clone());
        element.members_mut()?.push(copy);
        Some(Way { element, rule: "duplicate-member", at: self.at() })
    }

    /// Adds a second value of the same choice, of another type.
    fn beside(&self) -> Option<Way> {
        self.row.name.strip_suffix("[x]")?;
        let other = (self.row.types)().iter().map(|one| self.row.member(one)).find(|other| *other != self.name)?;
        let mut element = self.element.clone();
        element.set(&other, Json::text("a"));
        Some(Way { element, rule: "choice", at: self.spot.at.clone() })
    }
}

/// Pairs of members of which the first needs the second: path, first, second, rule that breaks without the second.
const NEEDED: &[(&str, &str, &str, &str)] = &[
    ("Attachment", "data", "contentType", "att-1"),
    ("ContactPoint", "value", "system", "cpt-2"),
    ("Quantity", "code", "system", "qty-3"),
    ("SimpleQuantity", "code", "system", "qty-3"),
    ("Age", "value", "code", "age-1"),
    ("Count", "value", "code", "cnt-3"),
    ("Distance", "value", "code", "dis-1"),
    ("Duration", "code", "value", "drt-1"),
    ("Money", "value", "code", "mny-1"),
    ("Ratio", "numerator", "denominator", "rat-1"),
    ("Timing.repeat", "duration", "durationUnit", "tim-1"),
    ("Timing.repeat", "period", "periodUnit", "tim-2"),
    ("Timing.repeat", "periodMax", "period", "tim-6"),
    ("Timing.repeat", "durationMax", "duration", "tim-7"),
    ("Timing.repeat", "countMax", "count", "tim-8"),
    ("Timing.repeat", "offset", "when", "tim-9"),
];

/// Values that break a rule: path, members, rule.
const SAID: &[(&str, &str, &str)] = &[
    ("Period", r#"{"start":"2018","end":"2017"}"#, "per-1"),
    ("Timing.repeat", r#"{"duration":-1}"#, "tim-4"),
    ("Timing.repeat", r#"{"period":-1}"#, "tim-5"),
    ("Timing.repeat", r#"{"timeOfDay":["00:00:00"],"when":["HS"]}"#, "tim-10"),
    ("Range", r#"{"low":{"value":2},"high":{"value":1}}"#, "rng-2"),
    ("Bundle", r#"{"type":"collection","total":1}"#, "bdl-1"),
    ("Bundle.entry", r#"{"fullUrl":"http://x.example/Device/1/_history/1"}"#, "bdl-8"),
];

fn broken_rules(spot: &Spot, element: &Json) -> Vec<Way> {
    let mut ways = Vec::new();
    let has = |name: &str| element.members().iter().any(|(other, _)| other.trim_start_matches('_') == name);
    for (_, one, other, rule) in NEEDED.iter().filter(|(path, ..)| *path == spot.definition.path) {
        if has(one) && has(other) {
            let mut element = element.clone();
            element.remove(other);
            let at = if *rule == "cpt-2" { format!("{}.{other}", spot.at) } else { spot.at.clone() };
            ways.push(Way { element, rule, at });
        }
    }
    for (_, said, rule) in SAID.iter().filter(|(path, ..)| *path == spot.definition.path) {
        let mut element = element.clone();
        for (name, value) in Json::parse(said).iter().flat_map(Json::members) {
            element.remove(name);
            element.set(name, value.clone());
        }
        ways.push(Way { element, rule, at: spot.at.clone() });
    }
    if spot.definition.path == "Extension" {
        let part = Json::object([("url", Json::text("a")), ("valueString", Json::text("a"))]);
        let mut both = element.clone();
        if has("extension") {
            both.set("valueString", Json::text("a"));
        } else {
            both.set("extension", Json::Array(vec![part]));
        }
        ways.push(Way { element: both, rule: "ext-1", at: spot.at.clone() });
        if !spot.part {
            let mut relative = element.clone();
            relative.set("url", Json::text("a"));
            ways.push(Way { element: relative, rule: "extension-url", at: format!("{}.url", spot.at) });
        }
    }
    ways
}

/// Adds a contained resource to which nothing refers.
fn unreferred(spot: &Spot, element: &Json) -> Option<Way> {
    let domain = spot.definition.rows.iter().any(|row| row.name == "contained");
    // A contained resource cannot contain others.
    if !domain || spot.at.rsplit('.').next().is_some_and(|name| name.starts_with("contained[")) {
        return None;
    }
    let mut items = element.get("contained").map(Json::items).unwrap_or_default().to_vec();
    items.push(Json::object([("resourceType", Json::text("Patient")), ("id", Json::text("no-such-reference"))]));
    let at = format!("{}.contained[{}].id", spot.at, items.len() - 1);
    let mut element = element.clone();
    element.set("contained", Json::Array(items));
    Some(Way { element, rule: "dom-3", at })
}
