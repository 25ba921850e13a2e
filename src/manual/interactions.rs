//! Interactions: what HAPI FHIR and Microsoft's FHIR server offer in STU3 for Device, DeviceComponent and DeviceMetric, and
//! whether this service offers it.
//!
//! Each row is a request to [`rest::Server`](crate::rest::Server) and the status of its answer: a test sends all of
//! them. Unsupported requests are refused by name, with an OperationOutcome. The CapabilityStatement at `metadata`
//! lists the interactions of the actual store: without a log of versions by time there is no history of a type or of
//! the service, and no Subscription; Subscriptions also [have to be enabled](super::subscriptions).
//!
//! | interaction | request | status |
//! | --- | --- | --- |
//! | capabilities | `GET metadata` | 200 |
//! | methods of an address | `OPTIONS Device/d` | 204 |
//! | read | `GET Device/d` | 200 |
//! | read, without the body | `HEAD Device/d` | 200 |
//! | read, a part | `GET Device/d?_elements=identifier` | 200 |
//! | read, a summary | `GET Device/d?_summary=true` | 200 |
//! | vread | `GET Device/d/_history/1` | 200 |
//! | create | `POST Device` | 201 |
//! | create, conditional | `POST Device if-none-exist identifier=s` | 200 |
//! | update | `PUT Device/d` | 200 |
//! | update, of a version | `PUT Device/d if-match W/"99"` | 409 |
//! | update as create | `PUT Device/new` | 201 |
//! | update, conditional | `PUT Device?identifier=s` | 200 |
//! | update, conditional, no match and the body does not match | `PUT Device?identifier=never` | 412 |
//! | patch (JSON Patch) | `PATCH Device/d as application/json-patch+json` | 200 |
//! | patch, conditional | `PATCH Device?identifier=s as application/json-patch+json` | 200 |
//! | patch (FHIRPath Patch) | `PATCH Device/d as application/fhir+json` | 415 |
//! | patch (XML Patch) | `PATCH Device/d as application/xml-patch+xml` | 415 |
//! | delete | `DELETE DeviceMetric/m` | 204 |
//! | delete, conditional, one match | `DELETE DeviceMetric?identifier=m` | 204 |
//! | delete, conditional, several matches | `DELETE DeviceComponent?type=x` | 412 |
//! | history of a resource | `GET Device/d/_history?_count=1` | 200 |
//! | history of a type | `GET Device/_history?_since=2017-01-01` | 200 |
//! | history of all | `GET _history` | 200 |
//! | history, a part of each version | `GET Device/_history?_elements=identifier` | 200 |
//! | history at a moment | `GET Device/_history?_at=2017` | 400 |
//! | search of a type | `GET Device?model=P9` | 200 |
//! | search, posted | `POST Device/_search` | 200 |
//! | search of all types | `GET ?_id=d` | 200 |
//! | search of all types, posted | `POST _search` | 200 |
//! | search of all types, sorted | `GET ?_sort=_lastUpdated` | 400 |
//! | search in a compartment | `GET Patient/p/Device` | 404 |
//! | chain | `GET DeviceComponent?source.identifier=s` | 200 |
//! | reverse chain | `GET Device?_has:DeviceComponent:source:type=x` | 200 |
//! | include, and all includes | `GET DeviceComponent?_include=*` | 200 |
//! | reverse include | `GET Device?_revinclude=DeviceMetric:source` | 200 |
//! | sort | `GET Device?_sort=-model,_lastUpdated` | 200 |
//! | total | `GET Device?_total=estimate` | 200 |
//! | modifiers of uris | `GET Device?url:below=http://x` | 200 |
//! | `_tag`, `_security`, `_profile` | `GET Device?_tag=x&_security=y&_profile=z` | 200 |
//! | `_text` | `GET Device?_text=x` | 400 |
//! | `_content` | `GET Device?_content=x` | 400 |
//! | `_filter` | `GET Device?_filter=x` | 400 |
//! | `_list` | `GET Device?_list=x` | 400 |
//! | `_query` | `GET Device?_query=x` | 400 |
//! | `_contained` | `GET Device?_contained=true` | 400 |
//! | batch | `POST` | 200 |
//! | `$validate` of a type | `POST Device/$validate` | 200 |
//! | `$validate` of a resource | `POST Device/d/$validate?mode=update` | 200 |
//! | `$validate` of a stored resource | `GET Device/d/$validate` | 200 |
//! | `$meta` of a resource | `GET Device/d/$meta` | 200 |
//! | `$meta` of a type | `GET Device/$meta` | 200 |
//! | `$meta` of all | `GET $meta` | 200 |
//! | `$meta` of all, posted | `POST $meta` | 200 |
//! | `$meta-add` | `POST Device/d/$meta-add` | 200 |
//! | `$meta-delete` | `POST Device/d/$meta-delete` | 200 |
//! | `$meta-add` to a version | `POST Device/d/_history/1/$meta-add` | 501 |
//! | `$everything` | `GET Device/d/$everything` | 501 |
//! | `$expunge` | `POST Device/d/$expunge` | 501 |
//! | `$reindex` | `POST Device/d/$reindex` | 501 |
//! | `$diff` | `GET Device/d/$diff` | 501 |
//! | `$export` | `GET $export` | 501 |
//! | `$import` | `POST $import` | 501 |
//! | `$convert-data` | `POST $convert-data` | 501 |
//! | `$graphql` | `GET $graphql` | 501 |
//! | `$process-message` | `POST $process-message` | 501 |
//! | Subscription, create | `POST Subscription` | 201 |
//! | Subscription, update of an unknown one | `PUT Subscription/none` | 405 |
//! | Subscription, delete | `DELETE Subscription/none` | 204 |
//! | Subscription, search | `GET Subscription?status=active` | 200 |
//! | Subscription, read of an unknown one | `GET Subscription/none` | 404 |
//! | Subscription, patch | `PATCH Subscription/none as application/json-patch+json` | 405 |
//! | Subscription, history | `GET Subscription/_history` | 501 |
//! | Subscription, `$validate` | `POST Subscription/$validate` | 501 |
//! | Subscription with the channel `websocket` | `POST Subscription with websocket` | 422 |
//! | Subscription with the channel `email` | `POST Subscription with email` | 422 |
//! | SearchParameter of a client's own | `POST SearchParameter` | 404 |
//! | any other type of resource | `GET Patient/p` | 404 |
