//! What the crate holds documents to: every rule of FHIR 3.0.2 for the types that it models, by its key.
//!
//! The last word is the published StructureDefinitions of 3.0.2 and, where they are silent, the pages of the
//! specification.
//!
//! # Rules
//!
//! *Read* says that reading finds it, since the type of the field cannot hold anything else; *validate* that
//! [`validate`](crate::Validate::validate) does; *in part* and *no* say what is missing, and why.
//!
//! | key | of | enforced | remark |
//! | --- | --- | --- | --- |
//! | `age-1` | Age | validate | the value is more than zero, as the FHIRPath has it; the XPath allows zero |
//! | `att-1` | Attachment | validate | |
//! | `bdl-1` | Bundle | validate | |
//! | `bdl-2` | Bundle | validate | |
//! | `bdl-3` | Bundle | validate | |
//! | `bdl-4` | Bundle | validate | a history may have responses too, as from R4 on: nothing else tells when something was deleted |
//! | `bdl-5` | Bundle.entry | validate | |
//! | `bdl-7` | Bundle | validate | |
//! | `bdl-8` | Bundle.entry | validate | |
//! | `bdl-9` | Bundle | validate | a system *and* a value, as the FHIRPath has it; the XPath says *or* |
//! | `cnt-3` | Count | validate | |
//! | `cpt-2` | ContactPoint | validate | |
//! | `dis-1` | Distance | validate | that the unit is one of length is not checked |
//! | `dom-1` | DomainResource | validate | |
//! | `dom-2` | DomainResource | validate | |
//! | `dom-3` | DomainResource | validate | a reference from anywhere in the resource counts, from other contained ones too, as the FHIRPath has it; the XPath can never fail. Where only the narrative shows or links to it, a warning (below) |
//! | `dom-4` | DomainResource | validate | |
//! | `drt-1` | Duration | validate | a code needs a value and the system UCUM, as the FHIRPath has it; the text also asks for a code where there is a value |
//! | `ele-1` | Element | read, validate | the FHIRPath has a union where it means *or*; an id alone is no content |
//! | `ext-1` | Extension | validate | |
//! | `mny-1` | Money | validate | |
//! | `per-1` | Period | validate | only where it is certain: `2017` and `2017-05` are in no order, nor are a moment with a zone and one without unless every zone agrees |
//! | `qty-3` | Quantity | validate | |
//! | `rat-1` | Ratio | validate | |
//! | `ref-1` | Reference | validate | `#` alone, the container, came with R4 and is refused |
//! | `rng-2` | Range | validate | only for limits with the same unit; others would need the tables of UCUM |
//! | `sqty-1` | SimpleQuantity | read | the type has no `comparator`; a lenient read keeps one as text |
//! | `tim-1` | Timing.repeat | validate | |
//! | `tim-2` | Timing.repeat | validate | |
//! | `tim-4` | Timing.repeat | validate | |
//! | `tim-5` | Timing.repeat | validate | |
//! | `tim-6` | Timing.repeat | validate | |
//! | `tim-7` | Timing.repeat | validate | |
//! | `tim-8` | Timing.repeat | validate | |
//! | `tim-9` | Timing.repeat | validate | the offset also excludes C, CM, CD and CV, as the FHIRPath has it; the XPath leaves that out |
//! | `tim-10` | Timing.repeat | validate | |
//! | `txt-1` | Narrative.div | read, validate | reading checks the root, validation what is in it, by the published schema of XHTML (content and attributes of each element) less `map` and `area`, which txt-1 has not; `kbd`, `address` and `bdo` pass, as the schema has them, though the XPath does not; an address that runs a script does not, nor does a character that XML has not |
//! | `txt-2` | Narrative.div | validate | |
//!
//! # Checks without a key
//!
//! The specification also demands in words. Findings about that have keys of our own.
//!
//! | key | demand | enforced | remark |
//! | --- | --- | --- | --- |
//! | `json` | the document is one JSON value in UTF-8 | read | ends reading, with line and column |
//! | `json-depth` | at most [`MAX_DEPTH`](crate::element::MAX_DEPTH) objects and arrays stand inside one another | read | our limit; ends reading |
//! | `resource-type` | `resourceType` is there and names a resource type of STU3 | read | leniently a warning within a document, as in an entry of a Bundle: the resource is kept as text |
//! | `fhir-version` | the document is of STU3 | read | a hint for information beside the findings that gave rise to it |
//! | `wrong-type` | an element has the JSON type of its FHIR type | read | `"17"` is no integer |
//! | `unknown-member` | an object has the members of its type alone | read | the names of `value[x]` are those of STU3 |
//! | `duplicate-member` | a member comes once | read | also where an escape hides it |
//! | `min-cardinality` | a required element is there | read, validate | an extension may stand for the value of a primitive |
//! | `max-cardinality` | an element that does not repeat is no array | read | |
//! | `null` | null stands nowhere but in the arrays of a repeating primitive | read | |
//! | `empty` | no object, array or string is empty | read | |
//! | `array-length` | the two arrays of a repeating primitive are equally long | read | |
//! | `choice` | at most one `value[x]` is there | read | |
//! | the name of a primitive type, such as `dateTime` | a primitive has the form of its type | read | a day must be in the calendar |
//! | `required-binding` | a code with a required binding is in its value set | read | media types (`Attachment.contentType`) are checked as codes alone: their set is open |
//! | `reference-target` | a reference names a resource of an allowed type | read, validate | the literal alone is checked while reading; what a contained resource is, by validation |
//! | `full-url` | `Bundle.entry.fullUrl` is there in every Bundle but batches, transactions and their responses, is absolute, and ends with the id of the resource where it is a RESTful address | validate | a resource without an id at the address of one is a warning; what a server says about a search (`search.mode` `outcome`) and entries without a resource need no address |
//! | `extension-url` | the url of an extension is absolute and no urn | validate | inside a complex extension it may be relative |
//! | `id-unique` | the ids of the elements of a resource are unique, those in contained resources too | validate | not in elements that are kept as text |
//! | `element-id` | the id of an element has no space | validate | not in elements that are kept as text |
//! | `contained-id` | the ids of contained resources are unique | validate | |
//! | `reference-form` | a reference to a contained resource begins with `#`; a relative one is `Type/id` with an id that is one; an absolute one is a URI | validate | the first an error, the others warnings |
//! | `extensible-binding`, `preferred-binding` | a code is of the value set, where one fits | validate | a warning; for operational-status, parameter-group, specification-type, identifier-type, timing-abbreviation and signature-type. |
//! | `unchecked-code` | a code is of the value set, where that is not at hand | validate, with [`Validator::unchecked_codes`](crate::validate::Validator::unchecked_codes) | for information, and on request alone, as nearly every document has such a code and a valid one should have nothing said of it. The sets are licensed or large (device-kind, devicemetric-type, security-labels), open by their own words (languages, as any tag of BCP 47 may stand there, and media types), or mere examples; [`Validator::value_set`](crate::validate::Validator::value_set) brings one in |
//! | `udi-carrier`, `udi-carriers`, `udi-di`, `udi-issuer`, `udi-lot`, `udi-serial`, `udi-date` | the carriers of a device can be read, and agree with each other and with the record | validate, with [`Validator::udi`](crate::validate::Validator::udi) | warnings, as published records break them |
//! | `profile-type` | `meta.profile` names no base definition of another type, and none of the specification's own profiles of another type | validate | other profiles are not checked: the crate holds documents to FHIR itself |
//! | `unchecked-type` | the elements and rules of types that are not modelled | no, and said so for information | one finding a document names the types. What every resource has (`id`, `meta`, `implicitRules`, `language`, `text`, `contained`), references, extensions and resources of modelled types within them are checked; the last not below more than four that are kept as text |
//! | `byte-order-mark` | a document begins without one (RFC 8259, section 8.1) | read | a warning, strictly; it is skipped |
//! | `blank`, `control-character` | a string has some text, and no control characters but tab and line ends | read | warnings |
//! | `urn` | what begins with `urn:uuid:` or `urn:oid:` is a UUID in lower case or an OID | read, validate | a warning; `valueUuid` and `valueOid` by their types |
//! | `uri-bracket` | brackets stand in the host of a uri alone | read | a warning (below) |
//! | `language` | a language is a tag of BCP 47 | validate | an error where it has not the form, a warning where a subtag is not in the registry; `DeviceComponent.languageCode` with codes of other systems alone is a warning: its maximum value set has none, but HL7's examples break it |
//! | `relative-system` | the system of an identifier or a coding is absolute | validate | a warning |
//! | `identifier-uri` | the value of an identifier of `urn:ietf:rfc:3986` is an absolute URI | validate | a warning |
//! | `unknown-code` | a code is one of its own code system, where HL7 publishes that whole | validate | under any binding; the tables of v2 make no difference of case |
//! | `ucum` | a coded unit of UCUM is one | validate, with the feature `ucum` | |
//! | `attachment-hash`, `attachment-size` | hash and size of an attachment are those of its data | validate | a hash that is no SHA-1 by its length is a warning |
//! | `extension-definition` | an extension of HL7's own in STU3 has the type, place, count and code of its definition, is a modifier or not, and has the parts of its definition (name, type, count, code), in any order | validate | unknown ones under HL7's base are let be: later versions define more, and so are parts with an address of their own; in elements that are kept as text a place is told wrong only where it is certain |
//! | `conditional-reference` | a conditional reference is in an entry of a transaction | validate | a warning; the REST API refuses it in a resource that it would store as it is |
//! | `first-entry` | the first resource of a document is a Composition, that of a message a MessageHeader | validate | documents and messages say so in their text; one without entries passes |
//! | `search-id` | what a search found has an id | validate | a warning |
//! | `xml`, `xml-doctype`, `xml-entity`, `xml-encoding`, `xml-depth`, `xml-limit` | a document in XML is well-formed XML 1.0 in UTF-8, without a document type | read, with the feature `xml` | `manual::xml`; ends reading |
//! | `namespace`, `element-order`, `unknown-attribute`, `unexpected-text` | elements in XML are of FHIR's namespace and in the order of the definition, with the attributes of their type and no text between them | read, with the feature `xml` | `manual::xml` |
//! | `no-xml-form` | what is written in XML can be read again as what it is | write, with the feature `xml` | `manual::xml` |
//!
//! # Interpretations
//!
//! Where the standard's text, its expressions and the reference validator (HAPI) do not say the same:
//!
//! | what | verdict | why |
//! | --- | --- | --- |
//! | a narrative in a prefixed namespace of XHTML (`<h:div xmlns:h=..>`) | warning | it is well-formed XHTML in the right namespace, which is all that the text asks; the reference validator accepts it; but many readers look for `<div` |
//! | a uri with `[` or `]` outside of a host | warning | RFC 3986 has them in the address of a host alone; but the published expression of `uri` is `\S*`, searches in published documents have them (`a[0]`), and the reference validator accepts them |
//! | a contained resource that only an image or a link of the narrative names | warning | the FHIRPath of dom-3 refuses it; the text ("referred to from elsewhere in the resource") and the reference validator accept it |
//! | a language that is well-formed and not registered | warning | the value set is all of BCP 47, whose registry grows; the reference validator knows a list and refuses `zh-Hant-TW` |
//! | an upper-case UUID in a `uri` | warning | RFC 4122 takes both cases, FHIR asks for lower case |
//! | an unknown extension below HL7's base | passes | later versions define more |
//!
//! # Comparison with the reference validator
//!
//! `tests/oracle` repeats a comparison with HAPI by hand, on documents with random faults. Where the verdicts differ, ours is
//! meant so:
//!
//! | kind | ours | HAPI | why |
//! | --- | --- | --- | --- |
//! | empty arrays of primitives | error | accepts | "an array can not be empty" (json, 2.6.2) |
//! | arrays of a repeating primitive | error, where the two have different lengths | accepts | the values and their extensions correspond by place (json, 2.6.2.3) |
//! | a `uri` with characters that RFC 3986 has not, or whose first part has a colon and is no scheme (`12:61:00`) | error | accepts | the type is defined by that RFC |
//! | the form of a primitive | error: ` ` is no `code`, no `dateTime` and no `instant`, `en-US` no `base64Binary` | accepts some | the definitions of the types |
//! | an extension addressed by a URN | error | accepts | "the url is a URL, not a URN" (extensibility) |
//! | a reference to a type that the element does not allow | error | accepts | the definition lists the targets |
//! | an id of an element with a space | error | accepts | datatypes, Element.id |
//! | an element with nothing but an id | error | accepts | `ele-1`: an element has a value or children, and an id is neither (its expression: `children().count() > id.count()`) |
//! | extensions of the id of an element (`_id`) | error | accepts | in STU3 the id of an element is a plain string |
//! | a language with an underscore (`de_DE`) | error | accepts in some places | BCP 47 parts subtags by `-` |
//! | URNs of wrong form (`urn:oid:2.16.x`, `urn:uuid:a`, an upper-case UUID) in a `uri` | warning | error | `uri` itself allows them |
//! | `urn:oid:1.2.3` | accepts | error | the published expression has no least length |
//! | an extension of HL7's own more often than its definition allows | error | accepts | the definition of the extension says how often it may come; HAPI counts where a profile asks alone |
//! | a profile of another type with its version (`../Patient\|3.0.1` in a Device) | error | accepts | the version names no other type |
//! | the definition of DomainResource or Resource as a profile | accepts | error | a Device is both |
//! | white space within the groups of a `base64Binary` (`QU JD`) | accepts | error, where there is a size or a hash | XML Schema, to which the definition of the type refers, lets it stand there |
//! | a conditional reference without a query (`Patient?`) | warning | error | any conditional reference outside of a transaction is warned of |
//! | a relative system of an identifier | warning | error | the definition asks for an absolute one in its text alone |
//! | an identifier of `urn:ietf:rfc:3986` that is no URI | warning | error | the rule is in the text alone |
//! | a reference of no known form (`a b`, `2017-13`) | warning | error | `Reference.reference` is a string, and no rule refuses it |
//! | a coding with a system and no code | accepts | error, for some systems | the elements of a Coding are optional |
//! | a `languageCode` without a code of `urn:ietf:bcp:47` | warning | error | HL7's examples have another system there |
//! | registered languages that HAPI does not list | accepts | error | the maximum value set is BCP 47 |
//! | a required element that has only an extension, `_id` of a resource, a language in words alone | accepts | error | "an extension may stand for a value" (extensibility), and words for a code that is missing |
//! | an entry of a batch or transaction without `fullUrl` | accepts | error, where it creates | bundle: what is to be created has no address yet |
//! | an entry without a resource or `fullUrl`, as of a deletion | accepts | error | it has no resource whose address it could be |
//! | a resource without an id at the address of one | warning | error | no rule asks for the id |
//! | an entry of a document that nothing refers to | accepts | error | documents: what is in it besides is left to the author |
//! | a document without `meta.lastUpdated`, or without entries | accepts | error | no rule asks for them |
//! | a security label that comes twice | accepts | error | no rule refuses it |
//! | a unit of a quantity that UCUM does not have (feature `ucum`) | error | accepts in some places | the definition of the code system |
//! | a relation of links that comes twice | accepts | error | RFC 8288 allows it |
//! | what a search found has no id | warning | error | no rule asks for the id |
//! | a type that is not modelled | says that it is not checked | error | the crate knows the definitions of its own types |
//! | a period of `2017` to `2017-05-02` | accepts | error | it may be right |
//! | images by data URL | accepts | error | the schema of XHTML has any address |
//! | arrays of primitives with null | accepts | crashes | json, 2.6.2.3 |
//!
//! # A report as an OperationOutcome
//!
//! A [`Report`](crate::Report) turns into an [`OperationOutcome`](crate::OperationOutcome) and back without a loss, so
//! that a service can send what it found and a client of the crate work with it:
//!
//! | of a finding | in the issue |
//! | --- | --- |
//! | `severity`, `kind` | `severity`, `code` |
//! | `rule` | `details.coding`, with the system [`RULE_SYSTEM`](crate::resource::operation_outcome::RULE_SYSTEM) |
//! | `message` | `diagnostics` |
//! | `at` | `expression` |
//! | `position` | `location`, as `line 3, column 14` |
//! | `row` | `extension`, with the url [`ROW_EXTENSION`](crate::resource::operation_outcome::ROW_EXTENSION): the row of the definitions is no place in the document, so that neither `expression` nor `location` may hold it |
//!
//! A finding has a position wherever the text was at hand: reading gives one to each of its own, and
//! [`check`](crate::validate::check) to those of the rules too. A value that a program made has none.
//!
//! # Contradictions in the specification
//!
//! The formal and the human texts of a rule do not always agree. The FHIRPath expression decides, since it is what the
//! later versions kept; the table names each case. What a document says is only called wrong where it is certain: a
//! period of `2017` to `2017-05` may be right.
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
