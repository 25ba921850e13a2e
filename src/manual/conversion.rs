//! What goes where between FHIR STU3 and R4, R4B and R5, how it is carried, and what cannot be kept.
//!
//! [`convert::to`](crate::convert::to) and [`convert::from`](crate::convert::from) carry the three device resources,
//! Bundles of them and the datatypes in them over. Their rule is that the way there and back gives the same document:
//! equal as JSON, to the last digit of every number.
//!
//! # How it works
//!
//! R5 is reached by way of R4, and each step is one table: a document that goes from STU3 to R4 and from there to R5 is
//! the one that goes to R5 at once. R4B differs from R4 in what the value of an extension may be, and in nothing else of
//! these resources.
//!
//! An element without a place becomes HL7's extension for it, on the nearest element that there is:
//! `http://hl7.org/fhir/3.0/StructureDefinition/extension-DeviceComponent.lastSystemChange`. The number is the version
//! that has the element; in the tables here `X3`, `X4` and `X5` stand for the beginnings of these urls. A backbone element
//! becomes a complex extension whose parts have the names of its members; the id and the extensions of a primitive stay
//! with its value. A step consumes the extensions of the version that it leads to, and passes those of others on.
//!
//! **A native element wins over its carrier.** Where both are there and say different things, the native one was edited
//! since; the report says `edited`. A native element that is gone where the carrier says that there was one was deleted.
//!
//! What a version requires and the document does not have is filled with `data-absent-reason` `unknown`, and the way back
//! drops it.
//!
//! # Device
//!
//! | STU3 | R4, R4B | R5 | what is carried |
//! | --- | --- | --- | --- |
//! | `udi` | `udiCarrier[0]` | the same; `deviceIdentifier` and `issuer` are filled | `X4 Device.udiCarrier` for the others |
//! | `udi.name` | `deviceName`, type `udi-label-name` | `name`, type `registered-name` | `X4 Device.deviceName.type`; beside an id alone `X3 Device.udi.name` |
//! | `udi.entryType` | the same | the same | `X5 Device.udiCarrier.entryType` for `electronic-transmission` |
//! | `status` | the same | the same | `X4 Device.status` for `unknown`, which R5 has not |
//! | `type` | the same | `type[0]` | `X5 Device.type` for the others |
//! | `model` | `modelNumber` | `modelNumber` | |
//! | `version` | `version[0].value` | the same | `X4 Device.version` for a list that is more than one plain value |
//! | `patient` | the same | | `X4 Device.patient` |
//! | all else | the same | the same | |
//!
//! What R4 has more (`definition`, `statusReason`, `distinctIdentifier`, `serialNumber`, `deviceName`, `partNumber`,
//! `specialization`, `property`, `parent`) is carried in STU3 as `X4 Device.<element>`, and what R5 has more as
//! `X5 Device.<element>`. `specialization` is `conformsTo` in R5.
//!
//! # DeviceComponent
//!
//! R4 has no such type. A component is a Device there, with the tag `DeviceComponent` of the code system
//! [`CanonicalName::Stu3Type`](crate::primitive::CanonicalName::Stu3Type). On the way back a Device is a component when it
//! has that tag, the one of HL7's `resource-types`, or an extension `X3 DeviceComponent.*`; with
//! [`Components::ByLevel`](crate::convert::Components::ByLevel) also when its type is a VMD or a channel.
//!
//! | STU3 | R4, R4B, R5 | what is carried |
//! | --- | --- | --- |
//! | `identifier` | `identifier[0]` | `X4 Device.identifier` for the others |
//! | `parent` | `parent`, `DeviceComponent/x` being `Device/x` | |
//! | `source`, `lastSystemChange`, `parameterGroup`, `measurementPrinciple`, `languageCode` | | `X3 DeviceComponent.<element>` |
//! | `operationalStatus` | `statusReason`, with a coding of R4 added; `entered-in-error` is the `status` too | in R5 `X4 Device.statusReason` |
//! | `productionSpecification` | `serialNumber`, `partNumber`, `version` | `X3 DeviceComponent.productionSpecification` |
//!
//! A concept of `operationalStatus` with a code of STU3 and no coding of R4 gets one when it is written for R4. On the way back
//! that coding is taken away where it is the last one and the only one of R4. A concept that came from R4 without such a coding,
//! or without the `status` that it implies, has the extension `X4 Device.statusReason.coding` with `false` in STU3, and is
//! written for R4 as it came.
//!
//! Specifications keep their order. A serial number or part number goes to its element when it is the first of its kind,
//! stands before the revisions, and has HL7's code and nothing else; every other specification goes to `version`. What has
//! no place so (a GMDN code, a second serial number, one of a part inside) is carried with all that stands before it, and
//! what can be seen of it in the elements of the Device is written there too.
//!
//! # DeviceMetric
//!
//! | STU3 | R4, R4B | R5 | what is carried |
//! | --- | --- | --- | --- |
//! | `identifier` | `identifier[0]` | the same | `X4 DeviceMetric.identifier` for the others |
//! | `parent` | `parent`, retargeted | `device` | `X4 DeviceMetric.parent` where `device` does not say it |
//! | `source` | `source` | `device` where there is no parent | `X4 DeviceMetric.source` |
//! | `color` | the same | the same | `X5 DeviceMetric.color` for a colour that is none of the eight |
//! | `measurementPeriod` | the same | | `X4 DeviceMetric.measurementPeriod` |
//! | | | `measurementFrequency` | `X5 DeviceMetric.measurementFrequency` |
//!
//! With [`MetricDevice::Source`](crate::convert::MetricDevice::Source) `device` is `source`, as for personal health devices.
//!
//! # Datatypes
//!
//! | type | what changes |
//! | --- | --- |
//! | Reference | one to a component is retargeted, with `X3 Reference.reference` beside it; `type` is `X4 Reference.type` in STU3 |
//! | Identifier, Address | `use` of `old` and `billing` is `X4 Identifier.use`, `X4 Address.use` in STU3 |
//! | Attachment | `size` is a number up to R4B and a string in R5; beyond 2³¹-1 `X5 Attachment.size`; `height`, `width`, `frames`, `duration`, `pages` are carried |
//! | Timing | counts below one are `X3 Timing.repeat.count` from R4 on; events that a version has not are carried |
//! | Annotation | an author of a type that the version has not is `X4` or `X5 Annotation.author` |
//! | Signature | `contentType` is `sigFormat`, `blob` is `data`, a signer by uri is a reference with HL7's `BaseType` |
//! | SampledData | `period` in milliseconds is `interval` with `intervalUnit` in R5 |
//! | Money | `code` is `currency`; `unit`, `comparator` and a system that is not ISO 4217 are `X3 Money.<element>` |
//! | Quantity | the comparator `ad` of R5 is `X5 Quantity.comparator` |
//! | Meta | `source` is `X4 Meta.source` in STU3 |
//! | Extension | `canonical`, `url` and `uuid` are `uri` in STU3 and `integer64` is `string` in R4, with `BaseType` |
//!
//! # Bundle
//!
//! Every entry is converted, those of other types are left as they are and told as `unconverted`. `fullUrl`,
//! `request.url` and `response.location` follow their resource; where that does not say what they were, the original is
//! beside them. A Bundle has no extensions: those of its `meta` carry `timestamp`. A link relation that R5 does not know is
//! `X4 Bundle.link.relation`. Entries of histories and of answers to batches and transactions get the `request` and the
//! `response` that R4 requires (`bdl-3`, `bdl-4`): they are filled, and dropped on the way back.
//!
//! # Documents with faults
//!
//! A document of R4 or R5 is held to the definitions of its version: required elements (`min-cardinality`), codes of required
//! value sets (`required-binding`), members and types. With any fault nothing is converted, and the findings have the places of
//! the document that was given; `electronic-transmission` is taken in R4 too, as the guide for personal health devices says. An
//! extension with the url of a carrier that is not as this crate writes it (other members, a code that need not be carried, a part
//! missing that the version requires, a second one for one element) is no carrier and stays an extension.
//!
//! # Extensions and tags of the document itself
//!
//! A document may have an extension of its own that has the url of a carrier, as a Device of STU3 with one for
//! `X3 DeviceComponent.lastSystemChange`, or an extension with such a url that is no carrier. It would be taken for what a
//! conversion wrote: it is wrapped in `X3 Extension`, `X4 Extension` or `X5 Extension`, by the version that the document is
//! written in, and unwrapped on the way back; a warning `collision` says so. A Device of STU3 that has the tag of a component as
//! one of its own keeps it with the extension `X3 Meta.tag`, and stays a Device.
//!
//! What is carried stands behind all other extensions of its element. Where it did not stand there in the document, their urls are
//! kept in their order in `X3`, `X4` or `X5 Element.extension`, and the way back puts them in that order.
//!
//! # In a service
//!
//! [`rest::Server`](crate::rest::Server), and with it the example `update_service`, keeps resources in STU3 and speaks all
//! four versions. The parameter `fhirVersion` of the media type says which: 3.0, 4.0, 4.3 or 5.0.
//!
//! ```text
//! curl -H 'Accept: application/fhir+json; fhirVersion=4.0' http://127.0.0.1:8080/demo/fhir/DeviceComponent
//! curl -X PUT -H 'Content-Type: application/fhir+json; fhirVersion=4.0' --data @device.json http://127.0.0.1:8080/demo/fhir/Device/x
//! ```
//!
//! - Reads, histories, searches and the answers to writes come in the version that `_format` or `Accept` names, and where
//!   neither names one in that of the body; the `Content-Type` says it, and so do the links to other pages. A version that is
//!   not known is refused: 406 for an answer, 415 for a body.
//! - Creations, updates, batches and transactions are converted and then written as those of STU3 are, with the same checks;
//!   the updates of a component survive them. What would be lost is refused with 422 and its places, what is wrong with 400. A
//!   JSON Patch is carried out on the resource in the version of the answer, or in the one that its `Content-Type` names.
//! - A resource that cannot be shown in a version without loss is answered with 406; in a page an outcome stands in its place,
//!   and so it is with the second of two resources that would be the same Device.
//! - From R4 on a component is a Device, and has both addresses: `Device/x` means the component where there is no Device of
//!   that id. A document without a mark that is sent to the address of a component is that component. One that says to be a
//!   component where a Device of its id is is refused with 409.
//! - Searches ask for the types of STU3. From R4 on `Device?..` asks for Devices and, on the pages behind them, for components
//!   where these have the search parameters; `_total` counts both, and `_sort` is refused with 400, as the two are not sorted
//!   together. `Device?_tag=DeviceComponent` (with the system of the tag or without) and `Device?parent` ask for components
//!   alone, `Device?_tag:not=DeviceComponent` for the others, and those can be sorted; references to a parent, `_include` and `_revinclude` are written as in the version. The
//!   search parameters are those of STU3, which are those of R4; what R5 has more is refused with the names that there are, and
//!   `DeviceMetric?device` with `parent` and `source`.
//! - `POST /TENANT/updates` answers the component in the version that `Accept` names.
//! - The entity tag is that of the version of the resource, whatever the version of FHIR: `W/"3"` is the third state, and
//!   `If-Match` and `If-None-Match` mean the state. As one state has several forms, every answer has `Vary: Accept`.
//! - `GET metadata` lists the media types, and comes in the version that is asked for.
//!
//! # Losses
//!
//! The conversion is refused, unless [`Options::allow`](crate::convert::Options::allow) names the [`Loss`](crate::convert::Loss):
//!
//! - a modifier extension on a backbone element that has to be carried: an extension has none;
//! - an extension whose value has a type that the version has not: `Dosage` in STU3, `Meta` in R4B;
//! - a search for components in a request by a parameter that a Device has not;
//! - `Bundle.issues` of R5;
//! - `Device/x` and `DeviceComponent/x` in one Bundle, with [`IdPolicy::Keep`](crate::convert::IdPolicy::Keep).
//!
//! A decimal with an exponent (`1.5e3`), which R4 and R5 know and STU3 does not, is written without it in STU3 (`1500`), and stands
//! as it was in the extension `X4 decimal.value` of the number; one that would have more than 64 digits stands in the
//! extension alone. Both come back as they were written; a number that was changed in STU3 counts.
//!
//! And what no conversion keeps:
//!
//! - signatures, hashes, entity tags and audit chains are over the bytes of STU3, and do not hold for others;
//! - `meta.profile` says what it said: the claim is about another version;
//! - narratives, and links in them, are not touched;
//! - a server in between may drop extensions and tags that it does not know. Without tag and extensions a component
//!   comes back as a Device.
//!
//! # Validator results
//!
//! Parsers of R4, R4B and R5 that others wrote take the documents (`.ci/parsers` runs two, and lists what they refuse, with
//! the reason). The reference validator says of the urls of the carriers "invalid Version" as long as it has not the
//! definitions of HL7's cross-version packages. Apart from that it refuses what the document had in STU3 already (short OIDs,
//! null in arrays of primitives, on which it breaks off, a required code with an extension in place of its value), in R4 a `color` of
//! R5 that is none of the eight, whose extension stands in the place of the value, and in R5
//!
//! - a `status` that was `unknown`, which R5 has no code for: its extension stands in the place of the value;
//! - a decimal of more than 18 digits before the point or 17 behind it, which the form of R5 does not allow;
//! - a search set without a `self` link, which R5 requires and STU3 does not.
