//! Conversion between FHIR STU3 and R4, R4B and R5: mapping of elements, carrier extensions, and losses.
//!
//! [`convert::to`](crate::convert::to) and [`convert::from`](crate::convert::from) convert the three device resources,
//! Bundles of them and their datatypes. A round trip gives the same document: equal as JSON, to the last digit of every
//! number.
//!
//! # How it works
//!
//! R5 is reached through R4, and each step is one table: a conversion from STU3 to R4 and then to R5 gives the same
//! document as one to R5 directly. R4B differs from R4 in the allowed values of an extension, and in nothing else for
//! these resources.
//!
//! An element without a counterpart becomes HL7's extension for it, on the nearest existing element:
//! `http://hl7.org/fhir/3.0/StructureDefinition/extension-DeviceComponent.lastSystemChange`. The number is the version
//! that has the element; in the tables here `X3`, `X4` and `X5` stand for the beginnings of these urls. A backbone
//! element becomes a complex extension whose parts have the names of its members; the id and the extensions of a
//! primitive stay with its value. A step consumes the extensions of its target version, and passes those of others on.
//!
//! **A native element takes precedence over its carrier.** If both are present and differ, the native one was edited
//! later; the report says `edited`. A native element that is missing although the carrier says that there was one was
//! deleted.
//!
//! A required element that the document does not have is filled with `data-absent-reason` `unknown`, and dropped on the
//! way back.
//!
//! # Device
//!
//! | STU3 | R4, R4B | R5 | carrier |
//! | --- | --- | --- | --- |
//! | `udi` | `udiCarrier[0]` | the same; `deviceIdentifier` and `issuer` are filled | `X4 Device.udiCarrier` for the others |
//! | `udi.name` | `deviceName`, type `udi-label-name` | `name`, type `registered-name` | `X4 Device.deviceName.type`; beside an id alone `X3 Device.udi.name` |
//! | `udi.entryType` | the same | the same | `X5 Device.udiCarrier.entryType` for `electronic-transmission` |
//! | `status` | the same | the same | `X4 Device.status` for `unknown`, which R5 has not |
//! | `type` | the same | `type[0]` | `X5 Device.type` for the others |
//! | `model` | `modelNumber` | `modelNumber` | |
//! | `version` | `version[0].value` | the same | `X4 Device.version` for a list of more than one plain value |
//! | `patient` | the same | | `X4 Device.patient` |
//! | all others | the same | the same | |
//!
//! Elements that only R4 has (`definition`, `statusReason`, `distinctIdentifier`, `serialNumber`, `deviceName`,
//! `partNumber`, `specialization`, `property`, `parent`) are carried in STU3 as `X4 Device.<element>`, and those that
//! only R5 has as `X5 Device.<element>`. `specialization` is `conformsTo` in R5.
//!
//! # DeviceComponent
//!
//! R4 has no such type. A component is a Device there, with the tag `DeviceComponent` of the code system
//! [`CanonicalName::Stu3Type`](crate::primitive::CanonicalName::Stu3Type). On the way back a Device becomes a component
//! if it has that tag, the one of HL7's `resource-types`, or an extension `X3 DeviceComponent.*`; with
//! [`Components::ByLevel`](crate::convert::Components::ByLevel) also if its type is a VMD or a channel.
//!
//! | STU3 | R4, R4B, R5 | carrier |
//! | --- | --- | --- |
//! | `identifier` | `identifier[0]` | `X4 Device.identifier` for the others |
//! | `parent` | `parent`, `DeviceComponent/x` being `Device/x` | |
//! | `source`, `lastSystemChange`, `parameterGroup`, `measurementPrinciple`, `languageCode` | | `X3 DeviceComponent.<element>` |
//! | `operationalStatus` | `statusReason`, with a coding of R4 added; `entered-in-error` also sets `status` | in R5 `X4 Device.statusReason` |
//! | `productionSpecification` | `serialNumber`, `partNumber`, `version` | `X3 DeviceComponent.productionSpecification` |
//!
//! A concept of `operationalStatus` with a code of STU3 and no coding of R4 gets one when it is written for R4. On the
//! way back that coding is removed if it is the last one and the only one of R4. A concept that came from R4 without
//! such a coding, or without the `status` that it implies, has the extension `X4 Device.statusReason.coding` with
//! `false` in STU3, and is written for R4 unchanged.
//!
//! Specifications keep their order. A serial number or part number becomes its element if it is the first of its kind,
//! stands before the revisions, and has HL7's code and nothing else; every other specification becomes a `version`.
//! Specifications without a counterpart (a GMDN code, a second serial number, one of a part inside) are carried
//! together with all before them, and also written to elements of the Device as far as possible.
//!
//! # DeviceMetric
//!
//! | STU3 | R4, R4B | R5 | carrier |
//! | --- | --- | --- | --- |
//! | `identifier` | `identifier[0]` | the same | `X4 DeviceMetric.identifier` for the others |
//! | `parent` | `parent`, retargeted | `device` | `X4 DeviceMetric.parent` where `device` does not say it |
//! | `source` | `source` | `device` where there is no parent | `X4 DeviceMetric.source` |
//! | `color` | the same | the same | `X5 DeviceMetric.color` for a colour other than the eight |
//! | `measurementPeriod` | the same | | `X4 DeviceMetric.measurementPeriod` |
//! | | | `measurementFrequency` | `X5 DeviceMetric.measurementFrequency` |
//!
//! With [`MetricDevice::Source`](crate::convert::MetricDevice::Source) `device` is `source`, as for personal health
//! devices.
//!
//! # Datatypes
//!
//! | type | change |
//! | --- | --- |
//! | Reference | a reference to a component is retargeted, with `X3 Reference.reference` beside it; `type` is `X4 Reference.type` in STU3 |
//! | Identifier, Address | `use` of `old` and `billing` is `X4 Identifier.use`, `X4 Address.use` in STU3 |
//! | Attachment | `size` is a number up to R4B and a string in R5; beyond 2³¹-1 `X5 Attachment.size`; `height`, `width`, `frames`, `duration`, `pages` are carried |
//! | Timing | counts below one are `X3 Timing.repeat.count` from R4 on; events that a version does not have are carried |
//! | Annotation | an author of a type that the version does not have is `X4` or `X5 Annotation.author` |
//! | Signature | `contentType` is `sigFormat`, `blob` is `data`, a signer by uri is a reference with HL7's `BaseType` |
//! | SampledData | `period` in milliseconds is `interval` with `intervalUnit` in R5 |
//! | Money | `code` is `currency`; `unit`, `comparator` and a system other than ISO 4217 are `X3 Money.<element>` |
//! | Quantity | the comparator `ad` of R5 is `X5 Quantity.comparator` |
//! | Meta | `source` is `X4 Meta.source` in STU3 |
//! | Extension | `canonical`, `url` and `uuid` are `uri` in STU3 and `integer64` is `string` in R4, with `BaseType` |
//!
//! # Bundle
//!
//! Every entry is converted; those of other types stay unchanged and are reported as `unconverted`. `fullUrl`,
//! `request.url` and `response.location` follow their resource; if they cannot be restored from that, the original is
//! kept beside them. A Bundle has no extensions: those of its `meta` carry `timestamp`. A link relation that R5 does
//! not know is `X4 Bundle.link.relation`. Entries of histories and of answers to batches and transactions get the
//! `request` and the `response` that R4 requires (`bdl-3`, `bdl-4`): they are filled, and dropped on the way back.
//!
//! # Documents with faults
//!
//! A document of R4 or R5 is checked against the definitions of its version: required elements (`min-cardinality`),
//! codes of required value sets (`required-binding`), members and types. With any fault nothing is converted, and the
//! findings have the paths of the given document; `electronic-transmission` is accepted in R4 too, as the guide for
//! personal health devices says. An extension with the url of a carrier that is not as this crate writes it (other
//! members, a code that need not be carried, a missing part that the version requires, a second one for one element) is
//! no carrier and stays an extension.
//!
//! # Extensions and tags of the document itself
//!
//! A document may have an extension of its own with the url of a carrier, such as a Device of STU3 with one for `X3
//! DeviceComponent.lastSystemChange`, or an extension with such a url that is no carrier. It would be mistaken for a
//! carrier written by a conversion: therefore it is wrapped in `X3 Extension`, `X4 Extension` or `X5 Extension`, by the
//! version of the document, and unwrapped on the way back, with a warning `collision`. A Device of STU3 that has the
//! tag of a component as one of its own keeps it with the extension `X3 Meta.tag`, and stays a Device.
//!
//! Carriers come after all other extensions of their element. If they did not in the document, their urls are kept in
//! order in `X3`, `X4` or `X5 Element.extension`, and the way back restores that order.
//!
//! # In a service
//!
//! [`rest::Server`](crate::rest::Server), and with it the example `update_service`, stores resources in STU3 and speaks
//! all four versions. The parameter `fhirVersion` of the media type selects one: 3.0, 4.0, 4.3 or 5.0.
//!
//! ```text
//! curl -H 'Accept: application/fhir+json; fhirVersion=4.0' http://127.0.0.1:8080/demo/fhir/DeviceComponent
//! curl -X PUT -H 'Content-Type: application/fhir+json; fhirVersion=4.0' --data @device.json http://127.0.0.1:8080/demo/fhir/Device/x
//! ```
//!
//! - Reads, histories, searches and the answers to writes come in the version of `_format` or `Accept`, or without one
//!   in that of the body; the `Content-Type` states it, and so do the links to other pages. An unknown version is
//!   refused: 406 for an answer, 415 for a body.
//! - Creations, updates, batches and transactions are converted and then written as those of STU3 are, with the same
//!   checks; the updates of a component are kept. A loss is refused with 422 and its paths, a fault with 400. A JSON
//!   Patch is applied to the resource in the version of the answer, or in the one that its `Content-Type` names.
//! - A resource that cannot be converted to a version without loss is answered with 406; in a page an outcome stands in
//!   its place, and also in the place of the second of two resources that would be the same Device.
//! - From R4 on a component is a Device, and has both URLs: `Device/x` means the component if there is no Device of
//!   that id. An unmarked document that is sent to the URL of a component is that component. A document marked as a
//!   component is refused with 409 if there is a Device with its id.
//! - Searches are over the types of STU3. From R4 on `Device?..` finds Devices and, on the pages after them, components
//!   if these have the search parameters; `_total` counts both, and `_sort` is refused with 400, as the two are not
//!   sorted together. `Device?_tag=DeviceComponent` (with or without the system of the tag) and `Device?parent` find
//!   components only, `Device?_tag:not=DeviceComponent` the others, and those can be sorted; references to a parent,
//!   `_include` and `_revinclude` are written as in the version. The search parameters are those of STU3, which are
//!   those of R4; parameters that only R5 has are refused with the names of the supported ones, and
//!   `DeviceMetric?device` with `parent` and `source`.
//! - `POST /TENANT/updates` returns the component in the version that `Accept` names.
//! - The entity tag is that of the version of the resource, whatever the version of FHIR: `W/"3"` is the third state,
//!   and `If-Match` and `If-None-Match` refer to the state. As one state has several forms, every answer has `Vary:
//!   Accept`.
//! - `GET metadata` lists the media types, and comes in the requested version.
//!
//! # Losses
//!
//! The conversion is refused, unless [`Options::allow`](crate::convert::Options::allow) names the [`Loss`](crate::convert::Loss):
//!
//! - a modifier extension on a backbone element that has to be carried: an extension cannot have one;
//! - an extension with a value of a type that the version does not have: `Dosage` in STU3, `Meta` in R4B;
//! - a search for components in a request by a parameter that a Device does not have;
//! - `Bundle.issues` of R5;
//! - `Device/x` and `DeviceComponent/x` in one Bundle, with [`IdPolicy::Keep`](crate::convert::IdPolicy::Keep).
//!
//! A decimal with an exponent (`1.5e3`), which R4 and R5 allow and STU3 does not, is written without it in STU3
//! (`1500`), and kept unchanged in the extension `X4 decimal.value` of the number; one that would have more than 64
//! digits is in the extension only. Both are restored on the way back; a number that was changed in STU3 takes
//! precedence.
//!
//! No conversion keeps the following:
//!
//! - signatures, hashes, entity tags and audit chains cover the bytes of STU3, and are not valid for others;
//! - `meta.profile` is unchanged: the claim is about another version;
//! - narratives, and links in them, are unchanged;
//! - a server in between may drop unknown extensions and tags. Without tag and extensions a component comes back as a
//!   Device.
//!
//! # Validator results
//!
//! Third-party parsers of R4, R4B and R5 accept the documents (`.ci/parsers` runs two, and lists what they refuse, with
//! the reason). The reference validator reports "invalid Version" for the urls of the carriers as long as it does not
//! have the definitions of HL7's cross-version packages. Apart from that it refuses faults that the document had in
//! STU3 already (short OIDs, null in arrays of primitives, on which it aborts, a required code with an extension in
//! place of its value), in R4 a `color` of R5 other than the eight, whose extension stands in the place of the value,
//! and in R5
//!
//! - a `status` that was `unknown`, for which R5 has no code: its extension stands in the place of the value;
//! - a decimal of more than 18 digits before the point or 17 after it, which R5 does not allow;
//! - a search set without a `self` link, which R5 requires and STU3 does not.
