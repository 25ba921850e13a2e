//! Conformance: every rule of FHIR 3.0.2 for the modelled types, by its key, and its enforcement.
//!
//! The authority are the published StructureDefinitions of 3.0.2 and, where they are silent, the pages of the
//! specification.
//!
//! # Rules
//!
//! *Read* means that reading detects a violation, since the type of the field cannot hold it; *validate* that
//! [`validate`](crate::Validate::validate) does; *in part* and *no* come with the gap and its reason.
//!
//! | key | of | enforced | remark |
//! | --- | --- | --- | --- |
//! | `age-1` | Age | validate | the value is more than zero, as the FHIRPath has it; the XPath allows zero |
//! | `att-1` | Attachment | validate | |
//! | `bdl-1` | Bundle | validate | |
//! | `bdl-2` | Bundle | validate | |
//! | `bdl-3` | Bundle | validate | |
//! | `bdl-4` | Bundle | validate | a history may have responses too, as from R4 on: nothing else gives the time of a deletion |
//! | `bdl-5` | Bundle.entry | validate | |
//! | `bdl-7` | Bundle | validate | |
//! | `bdl-8` | Bundle.entry | validate | |
//! | `bdl-9` | Bundle | validate | a system *and* a value, as the FHIRPath has it; the XPath says *or* |
//! | `cnt-3` | Count | validate | |
//! | `cpt-2` | ContactPoint | validate | |
//! | `dis-1` | Distance | validate | whether the unit is one of length is not checked |
//! | `dom-1` | DomainResource | validate | |
//! | `dom-2` | DomainResource | validate | |
//! | `dom-3` | DomainResource | validate | a reference from anywhere in the resource counts, even from other contained resources, as in the FHIRPath; the XPath can never fail. If only the narrative shows or links to it, a warning (below) |
//! | `dom-4` | DomainResource | validate | |
//! | `drt-1` | Duration | validate | a code needs a value and the system UCUM, as the FHIRPath has it; the text also asks for a code where there is a value |
//! | `ele-1` | Element | read, validate | the FHIRPath has a union where it means *or*; an id alone is no content |
//! | `ext-1` | Extension | validate | |
//! | `mny-1` | Money | validate | |
//! | `per-1` | Period | validate | only where the order is certain: `2017` and `2017-05` have none, nor have a time with a zone and one without unless every zone agrees |
//! | `qty-3` | Quantity | validate | |
//! | `rat-1` | Ratio | validate | |
//! | `ref-1` | Reference | validate | `#` alone, the container, came with R4 and is refused |
//! | `rng-2` | Range | validate | only for limits with the same unit; others would need the UCUM tables |
//! | `sqty-1` | SimpleQuantity | read | the type has no `comparator`; a lenient read keeps one as text |
//! | `tim-1` | Timing.repeat | validate | |
//! | `tim-2` | Timing.repeat | validate | |
//! | `tim-4` | Timing.repeat | validate | |
//! | `tim-5` | Timing.repeat | validate | |
//! | `tim-6` | Timing.repeat | validate | |
//! | `tim-7` | Timing.repeat | validate | |
//! | `tim-8` | Timing.repeat | validate | |
//! | `tim-9` | Timing.repeat | validate | the offset also excludes C, CM, CD and CV, as in the FHIRPath; the XPath omits them |
//! | `tim-10` | Timing.repeat | validate | |
//! | `txt-1` | Narrative.div | read, validate | reading checks the root, validation the content, by the published schema of XHTML (content and attributes of each element) without `map` and `area`, which txt-1 excludes; `kbd`, `address` and `bdo` pass, as in the schema, though the XPath excludes them; a URL that runs a script is refused, and so is a character that XML does not allow |
//! | `txt-2` | Narrative.div | validate | |
//!
//! # Checks without a key
//!
//! The specification also has requirements in prose. Findings about these have keys of this crate.
//!
//! | key | requirement | enforced | remark |
//! | --- | --- | --- | --- |
//! | `json` | the document is one JSON value in UTF-8 | read | ends reading, with line and column |
//! | `json-depth` | objects and arrays are nested at most [`MAX_DEPTH`](crate::element::MAX_DEPTH) deep | read | a limit of this crate; ends reading |
//! | `resource-type` | `resourceType` is present and names a resource type of STU3 | read | leniently a warning within a document, as in an entry of a Bundle: the resource is kept as text |
//! | `fhir-version` | the document is of STU3 | read | an informational hint beside the findings that caused it |
//! | `wrong-type` | an element has the JSON type of its FHIR type | read | `"17"` is no integer |
//! | `unknown-member` | an object has only the members of its type | read | the names of `value[x]` are those of STU3 |
//! | `duplicate-member` | a member comes once | read | even if an escape hides it |
//! | `min-cardinality` | a required element is present | read, validate | an extension may stand for the value of a primitive |
//! | `max-cardinality` | an element that does not repeat is no array | read | |
//! | `null` | null occurs only in the arrays of a repeating primitive | read | |
//! | `empty` | no object, array or string is empty | read | |
//! | `array-length` | the two arrays of a repeating primitive are equally long | read | |
//! | `choice` | at most one `value[x]` is present | read | |
//! | the name of a primitive type, such as `dateTime` | a primitive has the form of its type | read | a day must exist in the calendar |
//! | `required-binding` | a code with a required binding is in its value set | read | media types (`Attachment.contentType`) are checked as codes only: their set is open |
//! | `reference-target` | a reference names a resource of an allowed type | read, validate | reading checks only the literal, validation the type of a contained resource |
//! | `full-url` | `Bundle.entry.fullUrl` is present in every Bundle but batches, transactions and their responses, is absolute, and ends with the id of the resource if it is a RESTful URL | validate | a resource without an id at a RESTful URL is a warning; outcomes of a search (`search.mode` `outcome`) and entries without a resource need no URL |
//! | `extension-url` | the url of an extension is absolute and no URN | validate | inside a complex extension it may be relative |
//! | `id-unique` | the ids of the elements of a resource are unique, those in contained resources too | validate | not in elements that are kept as text |
//! | `element-id` | the id of an element has no space | validate | not in elements that are kept as text |
//! | `contained-id` | the ids of contained resources are unique | validate | |
//! | `reference-form` | a reference to a contained resource begins with `#`; a relative one is `Type/id` with a valid id; an absolute one is a URI | validate | the first an error, the others warnings |
//! | `extensible-binding`, `preferred-binding` | a code is from the value set, if one fits | validate | a warning; for operational-status, parameter-group, specification-type, identifier-type, timing-abbreviation and signature-type. |
//! | `unchecked-code` | a code is from the value set, if that is not included here | validate, with [`Validator::unchecked_codes`](crate::validate::Validator::unchecked_codes) | informational, and on request only, as nearly every document has such a code and a valid one should have no findings. The sets are licensed or large (device-kind, devicemetric-type, security-labels), open by their own definition (languages, as any tag of BCP 47 is allowed, and media types), or mere examples; [`Validator::value_set`](crate::validate::Validator::value_set) adds one |
//! | `udi-carrier`, `udi-carriers`, `udi-di`, `udi-issuer`, `udi-lot`, `udi-serial`, `udi-date` | the carriers of a device can be parsed, and agree with each other and with the record | validate, with [`Validator::udi`](crate::validate::Validator::udi) | warnings, as published records violate them |
//! | `profile-type` | `meta.profile` names no base definition of another type, and none of the specification's own profiles of another type | validate | other profiles are not checked: the crate checks FHIR itself |
//! | `unchecked-type` | the elements and rules of types that are not modelled | no, reported as informational | one finding a document names the types. The elements common to all resources (`id`, `meta`, `implicitRules`, `language`, `text`, `contained`), references, extensions and resources of modelled types within them are checked; the last not below more than four that are kept as text |
//! | `byte-order-mark` | a document begins without one (RFC 8259, section 8.1) | read | a warning, strictly; it is skipped |
//! | `blank`, `control-character` | a string has visible text, and no control characters but tab and line ends | read | warnings |
//! | `urn` | a uri that begins with `urn:uuid:` or `urn:oid:` is a UUID in lower case or an OID | read, validate | a warning; `valueUuid` and `valueOid` by their types |
//! | `uri-bracket` | brackets occur only in the host of a uri | read | a warning (below) |
//! | `language` | a language is a tag of BCP 47 | validate | an error if its syntax is invalid, a warning if a subtag is not registered; `DeviceComponent.languageCode` with codes of other systems only is a warning: its maximum value set has none, but HL7's examples violate it |
//! | `relative-system` | the system of an identifier or a coding is absolute | validate | a warning |
//! | `identifier-uri` | the value of an identifier of `urn:ietf:rfc:3986` is an absolute URI | validate | a warning |
//! | `unknown-code` | a code exists in its own code system, if HL7 publishes that completely | validate | under any binding; the v2 tables ignore case |
//! | `ucum` | a coded UCUM unit exists | validate, with the feature `ucum` | |
//! | `attachment-hash`, `attachment-size` | hash and size of an attachment match its data | validate | a hash whose length is not that of SHA-1 is a warning |
//! | `extension-definition` | an extension of HL7's own in STU3 has the type, place, count and code of its definition, is a modifier or not, and has the parts of its definition (name, type, count, code), in any order | validate | unknown ones under HL7's base URL pass, since later versions define more, and so do parts with a URL of their own; in elements that are kept as text a wrong place is reported only where it is certain |
//! | `conditional-reference` | a conditional reference is in an entry of a transaction | validate | a warning; the REST API refuses it in a resource that it would store unchanged |
//! | `first-entry` | the first resource of a document is a Composition, that of a message a MessageHeader | validate | documents and messages require it in prose; one without entries passes |
//! | `search-id` | a search result has an id | validate | a warning |
//! | `xml`, `xml-doctype`, `xml-entity`, `xml-encoding`, `xml-depth`, `xml-limit` | a document in XML is well-formed XML 1.0 in UTF-8, without a document type | read, with the feature `xml` | `manual::xml`; ends reading |
//! | `namespace`, `element-order`, `unknown-attribute`, `unexpected-text` | elements in XML are of FHIR's namespace and in the order of the definition, with the attributes of their type and no text between them | read, with the feature `xml` | `manual::xml` |
//! | `no-xml-form` | the XML written can be read again as the same data | write, with the feature `xml` | `manual::xml` |
//!
//! # Interpretations
//!
//! Cases in which the standard's text, its expressions and the reference validator (HAPI) differ:
//!
//! | case | verdict | reason |
//! | --- | --- | --- |
//! | a narrative in a prefixed namespace of XHTML (`<h:div xmlns:h=..>`) | warning | it is well-formed XHTML in the right namespace, which is all that the text requires; the reference validator accepts it; but many readers look for `<div` |
//! | a uri with `[` or `]` outside of a host | warning | RFC 3986 allows them only in the host; but the published expression of `uri` is `\S*`, searches in published documents have them (`a[0]`), and the reference validator accepts them |
//! | a contained resource that only an image or a link of the narrative refers to | warning | the FHIRPath of dom-3 refuses it; the text ("referred to from elsewhere in the resource") and the reference validator accept it |
//! | a well-formed but unregistered language | warning | the value set is all of BCP 47, whose registry grows; the reference validator has a list and refuses `zh-Hant-TW` |
//! | an upper-case UUID in a `uri` | warning | RFC 4122 accepts both cases, FHIR requires lower case |
//! | an unknown extension below HL7's base | passes | later versions define more |
//!
//! # Comparison with the reference validator
//!
//! `tests/oracle` repeats a comparison with HAPI by hand, on documents with random faults. Where the verdicts differ,
//! those of this crate are intended:
//!
//! | kind | this crate | HAPI | reason |
//! | --- | --- | --- | --- |
//! | empty arrays of primitives | error | accepts | "an array can not be empty" (json, 2.6.2) |
//! | arrays of a repeating primitive | error, where the two have different lengths | accepts | the values and their extensions correspond by place (json, 2.6.2.3) |
//! | a `uri` with characters outside RFC 3986, or whose first segment has a colon and is no scheme (`12:61:00`) | error | accepts | the type is defined by that RFC |
//! | the form of a primitive | error: ` ` is no `code`, no `dateTime` and no `instant`, `en-US` no `base64Binary` | accepts some | the definitions of the types |
//! | an extension addressed by a URN | error | accepts | "the url is a URL, not a URN" (extensibility) |
//! | a reference to a type that the element does not allow | error | accepts | the definition lists the targets |
//! | an id of an element with a space | error | accepts | datatypes, Element.id |
//! | an element with nothing but an id | error | accepts | `ele-1`: an element has a value or children, and an id is neither (its expression: `children().count() > id.count()`) |
//! | extensions of the id of an element (`_id`) | error | accepts | in STU3 the id of an element is a plain string |
//! | a language with an underscore (`de_DE`) | error | accepts in some places | BCP 47 separates subtags by `-` |
//! | URNs of wrong form (`urn:oid:2.16.x`, `urn:uuid:a`, an upper-case UUID) in a `uri` | warning | error | `uri` itself allows them |
//! | `urn:oid:1.2.3` | accepts | error | the published expression has no minimum length |
//! | an extension of HL7's own more often than its definition allows | error | accepts | the definition of the extension limits its number; HAPI counts only for profiles |
//! | a profile of another type with its version (`../Patient\|3.0.1` in a Device) | error | accepts | the version names no other type |
//! | the definition of DomainResource or Resource as a profile | accepts | error | a Device is both |
//! | white space within the groups of a `base64Binary` (`QU JD`) | accepts | error, where there is a size or a hash | XML Schema, to which the definition of the type refers, allows it |
//! | a conditional reference without a query (`Patient?`) | warning | error | any conditional reference outside of a transaction is a warning |
//! | a relative system of an identifier | warning | error | only the text of the definition requires an absolute one |
//! | an identifier of `urn:ietf:rfc:3986` that is no URI | warning | error | the rule is only in the text |
//! | a reference of no known form (`a b`, `2017-13`) | warning | error | `Reference.reference` is a string, and no rule refuses it |
//! | a coding with a system and no code | accepts | error, for some systems | the elements of a Coding are optional |
//! | a `languageCode` without a code of `urn:ietf:bcp:47` | warning | error | HL7's examples have another system there |
//! | registered languages that HAPI does not list | accepts | error | the maximum value set is BCP 47 |
//! | a required element that has only an extension, `_id` of a resource, a language as text only | accepts | error | "an extension may stand for a value" (extensibility), and text for a missing code |
//! | an entry of a batch or transaction without `fullUrl` | accepts | error, where it creates | bundle: a resource to be created has no URL yet |
//! | an entry without a resource or `fullUrl`, as of a deletion | accepts | error | there is no resource that could have a URL |
//! | a resource without an id at a RESTful URL | warning | error | no rule requires the id |
//! | an entry of a document that nothing refers to | accepts | error | documents: additional content is left to the author |
//! | a document without `meta.lastUpdated`, or without entries | accepts | error | no rule requires them |
//! | a repeated security label | accepts | error | no rule refuses it |
//! | a unit of a quantity that UCUM does not have (feature `ucum`) | error | accepts in some places | the definition of the code system |
//! | a repeated link relation | accepts | error | RFC 8288 allows it |
//! | a search result without an id | warning | error | no rule requires the id |
//! | a type that is not modelled | reported as unchecked | error | the crate has the definitions of its own types only |
//! | a period of `2017` to `2017-05-02` | accepts | error | it may be valid |
//! | images by data URL | accepts | error | the schema of XHTML allows any URL |
//! | arrays of primitives with null | accepts | crashes | json, 2.6.2.3 |
//!
//! # A report as an OperationOutcome
//!
//! A [`Report`](crate::Report) converts to an [`OperationOutcome`](crate::OperationOutcome) and back without a loss, so
//! that a service can send its findings and a client of the crate can use them:
//!
//! | in the finding | in the issue |
//! | --- | --- |
//! | `severity`, `kind` | `severity`, `code` |
//! | `rule` | `details.coding`, with the system [`RULE_SYSTEM`](crate::resource::operation_outcome::RULE_SYSTEM) |
//! | `message` | `diagnostics` |
//! | `at` | `expression` |
//! | `position` | `location`, as `line 3, column 14` |
//! | `row` | `extension`, with the url [`ROW_EXTENSION`](crate::resource::operation_outcome::ROW_EXTENSION): the path of the element definition is no place in the document, so that neither `expression` nor `location` may hold it |
//!
//! A finding has a position if the text was available: reading adds one to each of its own, and
//! [`check`](crate::validate::check) also to those of the rules. A value that a program made has none.
//!
//! # Contradictions in the specification
//!
//! The expressions and the texts of a rule do not always agree. The FHIRPath expression decides, since the later
//! versions kept it; the table names each case. A violation is only reported where it is certain: a period of `2017` to
//! `2017-05` may be valid.
//!
//! ```
//! use fhir_devices::{Device, Validate};
//!
//! let identified = |period: &str| {
//!     let json = format!(r#"{{"resourceType":"Device","identifier":[{{"value":"1","period":{period}}}]}}"#);
//!     Device::from_json(json.as_bytes()).map(|device| device.validate().is_empty())
//! };
//! assert!(identified(r#"{"start":"2017","end":"2017-05"}"#)?);
//! assert!(!identified(r#"{"start":"2017-06","end":"2017-05"}"#)?);
//! # Ok::<(), fhir_devices::Report>(())
//! ```

#[cfg(test)]
mod tests {
    use crate::element::{Definition, Element};
    use crate::resource::{Bundle, Device, DeviceComponent, DeviceMetric, OperationOutcome};
    use std::collections::{BTreeMap, BTreeSet};

    /// The keys of the rules that are declared for a type or for one that it reaches.
    fn declared(definition: &'static Definition, seen: &mut BTreeSet<&'static str>, keys: &mut BTreeSet<&'static str>) {
        if !seen.insert(definition.path) {
            return;
        }
        keys.extend(definition.rules.iter().map(|rule| rule.key));
        let types = definition.rows.iter().flat_map(|row| (row.types)());
        for below in types.filter_map(|one| one.definition) {
            declared(below(), seen, keys);
        }
    }

    /// The key and the third column of each row whose first column is a key of the specification.
    fn listed() -> BTreeMap<&'static str, &'static str> {
        let rows = include_str!("conformance.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let rows = rows.filter_map(|row| row.split_once("` | "));
        let keyed = rows.filter(|(key, _)| key.ends_with(|last: char| last.is_ascii_digit()));
        keyed.filter_map(|(key, rest)| Some((key, rest.split(" | ").nth(1)?))).collect()
    }

    #[test]
    fn conformance_table_lists_exactly_the_declared_rules() {
        let (mut seen, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for definition in [
            Device::definition(),
            DeviceComponent::definition(),
            DeviceMetric::definition(),
            Bundle::definition(),
            OperationOutcome::definition(),
        ] {
            declared(definition, &mut seen, &mut keys);
        }
        // Every element obeys it, so that no type declares it.
        keys.insert("ele-1");
        // They are rules of `Narrative.div`, which is no type of its own.
        keys.extend(["txt-1", "txt-2"]);
        let claimed = listed().into_iter().filter(|(_, enforced)| enforced.contains("validate")).map(|(key, _)| key);
        assert_eq!(claimed.collect::<BTreeSet<_>>(), keys);
    }
}
