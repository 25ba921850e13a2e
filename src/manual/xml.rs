//! FHIR XML: how documents are read and written in it, what is checked that JSON does not have, and what has no form in it.
//!
//! With the feature `xml` every resource has [`from_xml`](crate::Device::from_xml), [`read_xml`](crate::Device::read_xml) and
//! [`to_xml`](crate::Device::to_xml), and [`check_xml`](crate::validate::check_xml) reads and validates at once.
//!
//! ```
//! use fhir_devices::Device;
//!
//! let xml = r#"<Device xmlns="http://hl7.org/fhir"><status value="active"/><model value="P9"/></Device>"#;
//! let device = Device::from_xml(xml.as_bytes())?;
//! assert_eq!(device.to_json(), r#"{"resourceType":"Device","status":"active","model":"P9"}"#);
//! assert_eq!(device.to_xml()?, xml);
//! # Ok::<(), fhir_devices::Report>(())
//! ```
//!
//! # How it works
//!
//! A document in XML is transcribed to its JSON form in one pass, by the declared rows of its types, and that is read by the
//! reader of JSON. So both formats have the same rules and the same lenient mode, and a document means the same in both.
//! Each finding has the line and the column of the XML. A resource is written from its JSON form by the same rows.
//!
//! JSON says by itself what is a list and what is a number; XML does not. For the types that the crate does not model a
//! table of their elements says so, and gives their order: it covers all of STU3, and a test holds it to the published
//! schemas. Such a resource is kept whole as JSON, and crosses to XML and back without loss. What every resource has
//! (id, meta, text, contained resources, extensions) is checked in it as ever; in XML the names and the order of its
//! elements too, and whether its numbers and booleans are some.
//!
//! # What is checked in XML alone
//!
//! | rule | what is wrong |
//! | --- | --- |
//! | `xml` | it is not well-formed, not UTF-8, or not XML 1.0; what comes after is not read |
//! | `xml-doctype` | it has a document type, which is never followed |
//! | `xml-entity` | it has an entity that is none of the five of XML, such as `&nbsp;`; character references are read |
//! | `xml-encoding` | it says that it is encoded otherwise than in UTF-8 |
//! | `xml-depth`, `xml-limit` | it nests deeper than [`MAX_DEPTH`](crate::element::MAX_DEPTH), has more than 64 attributes or namespaces on or around an element, or is 2 GiB long or longer |
//! | `namespace` | an element is not of the namespace `http://hl7.org/fhir`, or a narrative not of that of XHTML |
//! | `element-order` | an element stands behind one that its definition has later |
//! | `unknown-attribute` | an attribute that the type does not have; `xsi:schemaLocation` is passed over |
//! | `unexpected-text` | text between elements: values are in the attribute `value` |
//! | `duplicate-member` | an element that does not repeat comes twice, or one that repeats comes again after another |
//! | `ele-1` | an element with neither a value nor content |
//!
//! Comments, processing instructions, the declaration, prefixes and white space between elements are passed over, as nothing is
//! lost with them. White space in the value of an attribute is a blank, as XML has it, unless it is written as a reference.
//!
//! A lenient read keeps unknown attributes and stray text under names that JSON does not have, `@name` and `#text`, and unknown
//! elements under theirs, and writes them again. It refuses what it cannot keep: XML that is not well-formed, elements of a
//! foreign namespace, two resources where one may stand, and attributes or text beside a resource.
//!
//! # Narratives
//!
//! The `div` of a narrative is taken over character by character, comments included, but for these: line ends are single
//! line feeds, `&#13;` is a carriage return, a namespace that is declared around it is declared in it, a prefix that is
//! declared around it and that all of it has is dropped for the default namespace, and single quotes around attributes are
//! double ones where the document has its own attributes in single quotes.
//!
//! # What has no form in XML
//!
//! [`to_xml`](crate::Device::to_xml) refuses these with the rule `no-xml-form`, rather than lose something:
//!
//! - characters that XML has not (control characters but tab and line ends);
//! - a narrative that is not one well-formed `div` of XHTML;
//! - members of a kept type that STU3 does not have, or whose values are not of the shape that it wants: one value where a
//!   list is due, an object where a text is; empty strings and lone nulls;
//! - members that a lenient read of JSON kept and whose values are numbers, booleans or lists, as nothing would tell them from
//!   texts when they are read again;
//! - resource types that STU3 does not have.
//!
//! Two forms of JSON are one in XML: an array of nulls beside the extensions of its items, and the extensions alone.
//!
//! # In the REST API
//!
//! [`rest`](crate::rest) and the server take and answer `application/fhir+xml`, and know it as `application/xml+fhir`,
//! `application/xml` and `text/xml` too; `_format=xml` asks for it. Without `Accept` an answer has the format of the body. XML is of
//! STU3 alone: with another `fhirVersion` it is refused with 406, or 415 where it was sent. An answer without a form in XML is
//! JSON, as its `Content-Type` says.
