//! Generating documents from the tables of the types.

use super::json::Json;
use super::rules;
use super::texts::Texts;
use crate::code::RESOURCE_TYPES;
use crate::element::{Definition, Element, ElementDef, Max, TypeDef};
use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};
use proptest::prelude::RngExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Reason, TestRunner};

/// A part of a document, or the reason why the test kit cannot make it.
pub(super) type Made<T> = Result<T, Reason>;

/// Maximum depth of nested elements; below it only required elements follow.
const DEPTH: usize = 5;
/// Number of elements after which only required elements follow.
const ELEMENTS: usize = 120;
/// Maximum number of items in an array.
const ITEMS: usize = 3;

/// Generates one document.
pub(super) struct DocumentGenerator<'r> {
    runner: &'r mut TestRunner,
    texts: &'r Texts,
    /// Number of optional elements that may still be added.
    left: usize,
    /// Number of names given out so far; each is unique in the document.
    names: usize,
    /// The enclosing resources that may contain others, outermost first.
    scopes: Vec<Scope>,
    /// The type of the innermost bundle.
    bundle: &'static str,
}

/// A resource that may contain others.
#[derive(Default)]
struct Scope {
    contained: Vec<Contained>,
}

struct Contained {
    id: String,
    resource_type: &'static str,
    referred: bool,
}

/// Constraints that the surroundings of an element put on it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// Rows to include beyond those that the table requires.
    pub(super) want: &'static [&'static str],
    /// Types that a reference may target.
    pub(super) targets: &'static [&'static str],
    /// Number of the contained resource, where the element is one.
    contained: Option<usize>,
    /// Whether `meta` leaves out `versionId` and `lastUpdated`.
    unversioned: bool,
    /// Whether the element is an extension inside an extension.
    pub(super) part: bool,
}

impl<'r> DocumentGenerator<'r> {
    pub(super) fn new(runner: &'r mut TestRunner, texts: &'r Texts) -> Self {
        let scopes = vec![Scope::default()];
        Self { runner, texts, left: ELEMENTS, names: 0, scopes, bundle: "collection" }
    }

    fn below(&mut self, end: usize) -> usize {
        self.runner.rng().random_range(0..end.max(1))
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(from.len());
        from.get(index).copied()
    }

    /// Returns a text of the kind.
    fn text(&mut self, kind: &str) -> Made<String> {
        let strategy = self.texts.of(kind).ok_or_else(|| Reason::from(format!("no text is known for `{kind}`")))?;
        strategy.new_tree(self.runner).map(|tree| tree.current())
    }

    /// Returns a name that is unique in the document.
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Returns a stand-alone element or resource.
    pub(super) fn whole(&mut self, definition: &'static Definition, targets: &'static [&'static str]) -> Made<Json> {
        if definition.is_resource() {
            return self.resource(definition, DEPTH);
        }
        self.element(definition, DEPTH, Place { targets, ..Place::default() })
    }

    /// Returns a resource of any type.
    pub(super) fn any(&mut self) -> Made<Json> {
        self.any_resource(DEPTH + 1)
    }

    fn any_resource(&mut self, depth: usize) -> Made<Json> {
        let modelled = [
            Device::definition(),
            DeviceComponent::definition(),
            DeviceMetric::definition(),
            OperationOutcome::definition(),
            Bundle::definition(),
        ];
        match self.pick(&modelled).filter(|_| depth > 0 && !self.one_in(4)) {
            Some(definition) => self.resource(definition, depth - 1),
            None => {
                self.scopes.push(Scope::default());
                let id = self.text("id")?;
                let resource_type = self.pick(&["Patient", "Organization", "Location", "Observation"]);
                let made = self.other(resource_type.unwrap_or("Patient"), id);
                self.scopes.pop();
                made
            }
        }
    }

    /// Returns a resource that is not contained, together with the resources that it contains.
    fn resource(&mut self, definition: &'static Definition, depth: usize) -> Made<Json> {
        self.scopes.push(Scope::default());
        let outer = self.bundle;
        if definition.path == "Bundle" {
            self.bundle = self.pick(BUNDLES).unwrap_or("collection");
        }
        let contains = definition.rows.iter().any(|row| row.name == "contained");
        if contains && depth > 0 && self.one_in(4) {
            self.contain();
        }
        let want: &[&str] = if self.bundle == "document" { &["identifier"] } else { &[] };
        let place = Place { want: if definition.path == "Bundle" { want } else { &[] }, ..Place::default() };
        let mut resource = self.element(definition, depth, place)?;
        self.bundle = outer;
        self.refer_to_the_rest(&mut resource)?;
        self.scopes.pop();
        Ok(resource)
    }

    /// Chooses the resources that the innermost resource is to contain.
    fn contain(&mut self) {
        for _ in 0..1 + self.below(2) {
            let id = self.name("c");
            let resource_type = self.pick(CONTAINED).unwrap_or("Patient");
            if let Some(scope) = self.scopes.last_mut() {
                scope.contained.push(Contained { id, resource_type, referred: false });
            }
        }
    }

    /// Adds references to the contained resources that have none.
    fn refer_to_the_rest(&mut self, resource: &mut Json) -> Made<()> {
        let contained = self.scopes.last().map(|scope| scope.contained.as_slice()).unwrap_or_default();
        let rest = contained.iter().filter(|contained| !contained.referred);
        let literals: Vec<_> = rest.map(|contained| format!("#{}", contained.id)).collect();
        for literal in literals {
            let url = self.text(super::texts::EXTENSION_URL)?;
            let reference = Json::object([("reference", Json::Text(literal))]);
            let extension = Json::object([("url", Json::Text(url)), ("valueReference", reference)]);
            let Some(members) = resource.members_mut() else { continue };
            match members.iter_mut().find(|(name, _)| name == "extension") {
                Some((_, Json::Array(items))) => items.push(extension),
                _ => {
                    let after = members.iter().position(|(name, _)| name == "contained").map_or(0, |index| index + 1);
                    members.insert(after, ("extension".to_owned(), Json::Array(vec![extension])));
                }
            }
        }
        Ok(())
    }

    /// Returns a resource of a type that is not modelled.
    fn other(&mut self, resource_type: &str, id: String) -> Made<Json> {
        let mut json = Json::object([("resourceType", Json::text(resource_type)), ("id", Json::Text(id))]);
        if self.one_in(2) {
            json.set("multipleBirthInteger", Json::Token("1.50".to_owned()));
        }
        if self.one_in(2) {
            let family = self.text("string")?;
            json.set("name", Json::Array(vec![Json::object([("family", Json::Text(family))]), Json::null()]));
        }
        if self.one_in(2) {
            let literal = self.literal(&[])?;
            json.set("managingOrganization", Json::object([("reference", Json::Text(literal))]));
        }
        Ok(json)
    }

    /// Returns an element, with its members in the order of the table.
    fn element(&mut self, definition: &'static Definition, depth: usize, place: Place) -> Made<Json> {
        self.left = self.left.saturating_sub(1);
        let depth = if self.left == 0 { 0 } else { depth };
        let mut members = Vec::new();
        if definition.is_resource() {
            members.push(("resourceType".to_owned(), Json::text(definition.path)));
        }
        for row in self.rows(definition, depth, place) {
            let Some(one) = self.pick(&self.types(row, depth)) else { continue };
            let below = Place { part: definition.path == "Extension" && row.name == "extension", ..Place::default() };
            let below = match row.name {
                "meta" => Place { unversioned: place.contained.is_some(), ..below },
                "identifier" if definition.path == "Bundle" => Place { want: &["system", "value"], ..below },
                _ => below,
            };
            if row.name == "contained" {
                members.push(("contained".to_owned(), Json::Array(self.contained(depth)?)));
            } else if let Some(inner) = one.definition {
                let below = Place { targets: one.targets, ..below };
                let name = row.member(&one).into_owned();
                let made = self.several(row, |own| own.element(inner(), depth.saturating_sub(1), below))?;
                members.push((name, made));
            } else if one.name == "Resource" {
                let made = self.several(row, |own| own.any_resource(depth.saturating_sub(1)))?;
                members.push((row.name.to_owned(), made));
            } else {
                self.primitives(definition, row, &one, depth, place, &mut members)?;
            }
        }
        Ok(Json::Object(members))
    }

    /// Returns the types to choose a value from; at depth 0 the primitive types, if there are any.
    fn types(&self, row: &ElementDef, depth: usize) -> Vec<TypeDef> {
        let types = (row.types)();
        let flat: Vec<_> = types.iter().filter(|one| one.definition.is_none()).copied().collect();
        if depth == 0 && !flat.is_empty() { flat } else { types.to_vec() }
    }

    /// Returns the rows of which the element gets a value.
    fn rows(&mut self, definition: &'static Definition, depth: usize, place: Place) -> Vec<&'static ElementDef> {
        let resource = definition.is_resource();
        let contains = place.contained.is_none() && self.scopes.last().is_some_and(|scope| !scope.contained.is_empty());
        let allowed = |row: &ElementDef| match (definition.path, row.name) {
            (_, "contained") => false,
            (_, "id") if place.contained.is_some() => true,
            (_, "text") if resource => place.contained.is_none(),
            ("Meta", "versionId" | "lastUpdated") => !place.unversioned,
            (_, "extension" | "modifierExtension") => depth > 0,
            (path, name) => rules::allowed(self.bundle, path, name),
        };
        let rows: Vec<_> = definition.rows.iter().filter(|row| allowed(row)).collect();
        let mut chosen: Vec<&str> = Vec::new();
        if contains && resource {
            chosen.push("contained");
        }
        for row in &rows {
            let odds = if depth > 0 { 4 } else { 40 };
            if row.min > 0 || place.want.contains(&row.name) || self.one_in(odds) {
                chosen.push(row.name);
            }
        }
        if place.contained.is_some() {
            chosen.push("id");
        }
        let content = |name: &&str| *name != "id" && (*name != "url" || definition.path != "Extension");
        if !resource && !chosen.iter().any(content) {
            // An element needs content beside its id; at depth 0 a primitive, if it has one.
            let flat = |row: &&&ElementDef| (row.types)().iter().any(|one| one.definition.is_none());
            let some: Vec<_> = rows.iter().filter(|row| content(&row.name)).map(|row| row.name).collect();
            let near: Vec<_> = rows.iter().filter(|row| content(&row.name)).filter(flat).map(|row| row.name).collect();
            chosen.extend(self.pick(if depth == 0 && !near.is_empty() { &near } else { &some }));
        }
        let coin = self.one_in(2);
        rules::complete(definition.path, self.bundle, coin, &mut chosen);
        definition.rows.iter().filter(|row| chosen.contains(&row.name)).collect()
    }

    /// Returns one value of a row, or an array of values.
    fn several(&mut self, row: &ElementDef, mut one: impl FnMut(&mut Self) -> Made<Json>) -> Made<Json> {
        if row.max == Max::One {
            return one(self);
        }
        let count = if self.left == 0 { 1 } else { 1 + self.below(ITEMS) };
        (0..count).map(|_| one(self)).collect::<Made<_>>().map(Json::Array)
    }

    /// Returns the resources that the innermost resource contains.
    fn contained(&mut self, depth: usize) -> Made<Vec<Json>> {
        let contained = self.scopes.last().map(|scope| scope.contained.as_slice()).unwrap_or_default();
        let known: Vec<_> = contained.iter().map(|contained| (contained.id.clone(), contained.resource_type)).collect();
        let mut made = Vec::new();
        for (number, (id, resource_type)) in known.into_iter().enumerate() {
            let definition = match resource_type {
                "Device" => Device::definition(),
                "DeviceComponent" => DeviceComponent::definition(),
                "DeviceMetric" => DeviceMetric::definition(),
                _ => {
                    made.push(self.other(resource_type, id)?);
                    continue;
                }
            };
            let place = Place { contained: Some(number), ..Place::default() };
            made.push(self.element(definition, depth.saturating_sub(2), place)?);
        }
        Ok(made)
    }

    /// Adds a primitive or an array of them, sometimes with ids and extensions, or with extensions alone.
    fn primitives(
        &mut self,
        definition: &Definition,
        row: &ElementDef,
        one: &TypeDef,
        depth: usize,
        place: Place,
        members: &mut Vec<(String, Json)>,
    ) -> Made<()> {
        let count = if row.max == Max::Many { 1 + self.below(ITEMS) } else { 1 };
        let stated = rules::stated(definition.path, row.name) || place.contained.is_some() && row.name == "id";
        let (mut values, mut extras) = (Vec::new(), Vec::new());
        for _ in 0..count {
            self.left = self.left.saturating_sub(1);
            let how = if one.extensible && depth > 0 { self.below(16) } else { 16 };
            let alone = how == 0 && !stated;
            values.push(if alone { Json::null() } else { self.primitive(definition, row, one, place)? });
            extras.push(if how < 3 { self.extras(alone, depth)? } else { Json::null() });
        }
        let name = row.member(one).into_owned();
        let padding = Json::null();
        // A repeating element may have extensions alone, where every value is missing.
        let said = values.iter().any(|value| *value != padding) || (row.max == Max::Many && self.one_in(2));
        let more = extras.iter().any(|extras| *extras != padding);
        for (name, mut all, there) in [(name.clone(), values, said), (format!("_{name}"), extras, more)] {
            if there && row.max == Max::Many {
                members.push((name, Json::Array(all)));
            } else if there {
                members.extend(all.pop().map(|one| (name, one)));
            }
        }
        Ok(())
    }

    /// Returns the `id` and `extension` of a primitive, beside its value or in its place.
    fn extras(&mut self, alone: bool, depth: usize) -> Made<Json> {
        let mut members = Vec::new();
        let named = self.one_in(2);
        if named {
            members.push(("id".to_owned(), Json::Text(self.name("e"))));
        }
        if alone || !named {
            let definition = crate::datatype::Extension::definition();
            let extension = self.element(definition, depth.saturating_sub(2), Place::default())?;
            members.push(("extension".to_owned(), Json::Array(vec![extension])));
        }
        Ok(Json::Object(members))
    }

    /// Returns the value of a primitive.
    fn primitive(&mut self, definition: &Definition, row: &ElementDef, one: &TypeDef, place: Place) -> Made<Json> {
        if !one.codes.is_empty() {
            let known = one.codes.iter().position(|code| *code == self.bundle);
            let index = match (definition.path, row.name) {
                ("Bundle", "type") => known.unwrap_or_default(),
                _ => self.below(one.codes.len()),
            };
            return Ok(Json::Code { codes: one.codes, index });
        }
        let text = match (definition.path, row.name) {
            ("Reference", "reference") => self.literal(place.targets)?,
            ("Bundle.entry", "fullUrl") => self.name("https://x.example/entry/f"),
            (_, "id") => match (place.contained, self.scopes.last()) {
                (Some(number), Some(scope)) => {
                    scope.contained.get(number).map(|contained| contained.id.clone()).unwrap_or_default()
                }
                _ if one.extensible => self.text("id")?,
                _ => self.name("e"),
            },
            (path, name) => match rules::text(path, name, place.part) {
                rules::Wanted::Exactly(text) => text.to_owned(),
                rules::Wanted::Of(kind) => self.text(kind)?,
                rules::Wanted::Any => self.text(one.name)?,
            },
        };
        Ok(if matches!(one.name, "boolean" | "integer" | "unsignedInt" | "positiveInt" | "decimal") {
            Json::Token(text)
        } else {
            Json::Text(text)
        })
    }

    /// Returns a literal reference to one of these types, or to any.
    fn literal(&mut self, targets: &[&'static str]) -> Made<String> {
        let fits = |contained: &Contained| targets.is_empty() || targets.contains(&contained.resource_type);
        let count = self.scopes.last().map_or(0, |scope| scope.contained.iter().filter(|one| fits(one)).count());
        if count > 0 && !self.one_in(3) {
            let index = self.below(count);
            let contained = self.scopes.last_mut().map(|scope| scope.contained.iter_mut()).into_iter().flatten();
            if let Some(contained) = contained.filter(|one| fits(one)).nth(index) {
                contained.referred = true;
                return Ok(format!("#{}", contained.id));
            }
        }
        let target = self.pick(if targets.is_empty() { RESOURCE_TYPES } else { targets }).unwrap_or("Device");
        let id = self.text("id")?;
        Ok(match self.below(4) {
            0 => self.text("uuid")?,
            1 => format!("https://x.example/fhir/{target}/{id}"),
            2 => format!("{target}/{id}/_history/1"),
            _ => format!("{target}/{id}"),
        })
    }
}

/// Types that contained resources may have.
const CONTAINED: &[&str] =
    &["Patient", "Organization", "Location", "Practitioner", "Device", "DeviceComponent", "DeviceMetric"];

/// The types of bundles.
const BUNDLES: &[&str] = &[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
];
