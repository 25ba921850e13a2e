//! FHIR XML: reading and writing, checks that JSON does not have, and data that has no XML form.
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
//! An XML document is transcribed to its JSON form in one pass, by the declared rows of its types, and parsed by the
//! JSON reader. So both formats have the same rules and the same lenient mode, and a document means the same in both.
//! Each finding has the line and the column in the XML. A resource is written from its JSON form by the same rows.
//!
//! JSON distinguishes lists and numbers by itself; XML does not. For the types that the crate does not model a table of
//! their elements provides that, with their order: it covers all of STU3, and a test compares it with the published
//! schemas. Such a resource is kept completely as JSON, and converts to XML and back without loss. The elements common
//! to all resources (id, meta, text, contained resources, extensions) are checked in it as usual; in XML also the names
//! and the order of its elements, and whether its numbers and booleans are valid.
//!
//! # Checks for XML only
//!
//! | rule | fault |
//! | --- | --- |
//! | `xml` | the document is not well-formed, not UTF-8, or not XML 1.0; the rest is not read |
//! | `xml-doctype` | the document has a document type, which is never resolved |
//! | `xml-entity` | an entity other than the five of XML, such as `&nbsp;`; character references are read |
//! | `xml-encoding` | the document declares an encoding other than UTF-8 |
//! | `xml-depth`, `xml-limit` | the document nests deeper than [`MAX_DEPTH`](crate::element::MAX_DEPTH), has more than 64 attributes or namespaces on or around an element, or is 2 GiB long or longer |
//! | `namespace` | an element is not in the namespace `http://hl7.org/fhir`, or a narrative not in that of XHTML |
//! | `element-order` | an element comes after one that its definition has later |
//! | `unknown-attribute` | an attribute that the type does not have; `xsi:schemaLocation` is ignored |
//! | `unexpected-text` | text between elements: values are in the attribute `value` |
//! | `duplicate-member` | a non-repeating element comes twice, or a repeating one comes again after another |
//! | `ele-1` | an element with neither a value nor content |
//!
//! Comments, processing instructions, the declaration, prefixes and white space between elements are ignored, as they
//! carry no data. White space in the value of an attribute is a blank, as in XML, unless it is written as a reference.
//!
//! A lenient read keeps unknown attributes and stray text under names that JSON does not have, `@name` and `#text`, and
//! unknown elements under theirs, and writes them again. It refuses what it cannot keep: XML that is not well-formed,
//! elements of a foreign namespace, two resources in the place of one, and attributes or text beside a resource.
//!
//! # Narratives
//!
//! The `div` of a narrative is copied character by character, comments included, with these exceptions: line ends
//! become single line feeds, `&#13;` becomes a carriage return, a namespace declared around the `div` is declared in
//! it, a prefix declared around it that all of it has is replaced by the default namespace, and single quotes around
//! attributes become double quotes if the document has its own attributes in single quotes.
//!
//! # Data without an XML form
//!
//! [`to_xml`](crate::Device::to_xml) refuses the following with the rule `no-xml-form`, rather than lose data:
//!
//! - characters that XML does not allow (control characters but tab and line ends);
//! - a narrative that is not one well-formed `div` of XHTML;
//! - members of an unmodelled type that STU3 does not have, or whose values have another shape than in STU3: one value
//!   instead of a list, an object instead of a text; empty strings and lone nulls;
//! - members that a lenient read of JSON kept and whose values are numbers, booleans or lists, as they could not be
//!   distinguished from text when read again;
//! - resource types that STU3 does not have.
//!
//! Two JSON forms are the same in XML: an array of nulls beside the extensions of its items, and the extensions alone.
//!
//! # In the REST API
//!
//! [`rest`](crate::rest) and the server accept and return `application/fhir+xml`, and also recognise
//! `application/xml+fhir`, `application/xml` and `text/xml`; `_format=xml` requests it. Without `Accept` an answer has
//! the format of the body. XML is of STU3 only: with another `fhirVersion` it is refused with 406, or 415 for a body.
//! An answer without an XML form is JSON, as its `Content-Type` says.
