//! Releases and rollouts: updating many components, with proof of success.
//!
//! A *release* is an update file that is held once for any number of components. A *rollout* brings it to those
//! components in waves, and a *deployment* is one component in a rollout. Programs use
//! [`service::RolloutService`](crate::service::RolloutService); this page uses HTTP, with a service started by `cargo
//! run --release --features server --example update_service`.
//!
//! An *upload* is for one component, which shows it as an available update at once; nothing else happens. A *release*
//! is for any number of components, and reaches them by rollouts, which prove their results. An attached upload becomes
//! a release without copying by [`release_upload`](crate::service::RolloutService::release_upload), for instance to try
//! it on one device first. Its component continues to show the upload as `current`: the newest update intended for it,
//! whether it runs it or not; the running version is in its `productionSpecification`.
//!
//! # 1. Release
//!
//! ```text
//! curl -F Name=pump/main -F Version=2.4.0 -F Sequence=6 -F Level=mds -F file=@pump.bin http://127.0.0.1:8080/demo/releases
//! {"id":"0f3c..","name":"pump/main","version":"2.4.0","sequence":6,"files":[..],"status":"released",..}
//! ```
//!
//! `Level` (`mds`, `vmd` or `channel`) or `Type` (a code of ISO/IEEE 11073-10101) selects the target components.
//! `Sequence` is the sequence number among the updates of a component, uploads and releases together. A component that
//! accepted the same number or a higher one for another update is not offered this one: its deployment ends as
//! `superseded`. Attempts, later rollouts of the same release, and the upload from which a release was made, count as
//! one update. `Reports` is the production specification that shows the version, `VersionScheme` the scheme by which
//! versions are compared, `Sha256` the expected digest of the file.
//!
//! # 2. Roll out
//!
//! ```text
//! curl -H 'Content-Type: application/json' http://127.0.0.1:8080/demo/rollouts -d '{
//!   "release": "0f3c..", "scope": "DeviceComponent?type=69985", "cap": 50,
//!   "waves": [{"permille": 50, "soak": "PT24H", "min_success_permille": 950}, {"permille": 950}],
//!   "stop": [{"counts": ["failed", "rolled-back", "timed-out", "rejected"], "over_permille": 50, "min_done": 100}],
//!   "timeouts": {"offer": "P7D", "install": "PT4H"}, "gates": ["clinical-use"], "approvals": 1}'
//! ```
//!
//! | member | meaning |
//! |---|---|
//! | `scope` | a search of DeviceComponent that restricts the components of the release; without it, all of them |
//! | `waves` | the share of each wave in permille of the components, and the conditions for the next one, with the time for which they must hold; `pause_after` waits for an operator |
//! | `pins` | ids of components that are in the first wave in any case |
//! | `cap` | maximum number of devices in flight |
//! | `stop` | the rollout halts when more than `over_permille` of the done components had one of these outcomes; the share is computed for at least `min_done` components. `unproven` always counts |
//! | `timeouts` | how long an offer stands, and how long a device may take to begin the installation, to finish it, and to prove it |
//! | `retry` | `max_attempts`, and the delay after the first failure (`first`), growing by `factor` up to `most` |
//! | `gates` | conditions to be met: `clinical-use` (the Device names no patient), and those that a program adds by a [`GateProvider`](crate::service::GateProvider): `window`, `operator-hold`, `consent`, `market`, `requirements` |
//! | `approvals` | number of approvals, by others than the author |
//! | `proof` | `version-report` (default), or `device-says` to accept the statement of the device |
//! | `regions`, `lanes` | regions of the rollout, and number of parallel lanes of each; by default all regions, with one lane each |
//! | `supersedes` | the rollout that ends when this one begins |
//!
//! A tag in `meta.tag` assigns a Device to its region; the system of the tag is
//! [`CanonicalName::Region`](crate::primitive::CanonicalName::Region).
//!
//! # 3. Steps of a device
//!
//! Devices with a client of hawkBit's interface (SWUpdate, rauc-hawkbit-updater) poll `GET
//! /TENANT/controller/v1/DEVICE`: [`linux_device`](super::linux_device). Other devices do this:
//!
//! 1. Ask for the offers: `GET /TENANT/devices/DEVICE/offers`.
//! 2. Fetch the file at the `link` of the offer. The service records the claim before it sends a byte. 410 means that
//!    the offer was retracted, 425 and 503 that the device may ask later.
//! 3. Report, as often as wanted, to `POST /TENANT/devices/DEVICE/reports`: one report, or a list of up to 64.
//!
//! ```text
//! {"kind":"phase","key":"KEY OF THE OFFER","phase":"installing"}
//! {"kind":"failed","key":"..","code":"no-space","transient":true}
//! {"kind":"versions","restarted":true,"items":[{"component":"pump-mds","version":"2.4.0"}]}
//! ```
//!
//! The last report is the proof. A device may report `done` before the new software has started, so that this alone
//! proves nothing. The version is written into the `productionSpecification` of the component, whatever the outcome of
//! the rollout. Repeated or late reports are answered with 200. A device whose reports may overtake each other gives
//! version reports a rising `number`: a report with a lower one than the last changes nothing.
//!
//! # 4. Monitor, stop and resume
//!
//! | request | effect |
//! |---|---|
//! | `GET /TENANT/rollouts/ID` | status, wave, counts by state and outcome, for each region too, and `already_out` |
//! | `GET .../deployments?outcome=unproven` | the components of a rollout; `already_out=true` for those whose device was given bytes |
//! | `GET .../deployments/ID/explain` | what holds a deployment up |
//! | `GET .../measures` | the time from the release to the proof, as median and 95th percentile, and late deployments |
//! | `POST .../pause`, `/resume`, `/cancel`, `/approve`, `/deny` | with `{"reason": ".."}` |
//! | `GET /TENANT/releases/ID/behind` | the components that run a lower version, whatever any rollout says |
//! | `DELETE /TENANT/releases/ID?reason=..` | withdraws a release: its rollouts are cancelled first |
//! | `GET /TENANT/fhir/Task/ID` | a deployment as a FHIR Task |
//! | `GET /TENANT/fhir/AuditEvent?entity=Task/ID` | the audit records of a deployment |
//! | `GET /TENANT/fhir/Provenance?entity=Task/ID` | the version of the component made by the report of its device |
//!
//! `halting`, `pausing` and `cancelling` are orders; `halted`, `paused` and `cancelled` mean that every lane has
//! carried the order out. From then on no device gets a byte, whatever a region forgets or repeats, and `already_out`
//! is the exact number of devices that had some. A device that had the bytes may still install them: it is asked to
//! stop, and its version report shows the result.
//!
//! A halted rollout continues by `resume`, with as many approvals as its start, and counts failures from there.
//!
//! # Outcomes
//!
//! | outcome | meaning |
//! |---|---|
//! | `succeeded` | a version report says that the component runs the update |
//! | `already-current` | the component ran the update before it was offered |
//! | `failed`, `rejected` | the device reported a failure or a rejection |
//! | `rolled-back` | the device restarted after the installation, and runs another version |
//! | `timed-out` | the device never claimed the bytes |
//! | `unproven` | the device had the bytes, and its running version is unknown: a person must check |
//! | `withdrawn`, `cancelled` | the rollout ended first |
//! | `superseded` | a newer rollout superseded this one, or the component accepted a sequence number that is as high or higher |
//! | `retired` | the component no longer exists |
//!
//! # Regions
//!
//! A region is how devices are reached. The same rollout goes over all of them.
//!
//! | region | where a device finds its offer | how it reports |
//! |---|---|---|
//! | `slots`: [`Slots`](crate::backend::Slots) | it asks this service: hawkBit's interface, or `GET .../offers` | to this service |
//! | `mqtt:mqtts://BROKER`: `backend::Mqtt` | the retained message of `fhir-devices/TENANT/DEVICE/COMPONENT/offer` | to `fhir-devices/TENANT/DEVICE/report` |
//! | `iot-hub:FILE`: `backend::IotHub` | the section `fhirUpdate` of its twin's desired properties | by that of the reported ones |
//!
//! ```sh
//! update_service --region ward=slots --region lab=mqtt:mqtts://broker.example --region-file lab=/etc/updates/lab \
//!     --region eu=iot-hub:/etc/updates/eu
//! ```
//!
//! Passwords and keys are in files: `/etc/updates/lab` has lines `user = ..`, `password = ..`, `ca = ..` and `certificate = ..`, as far
//! as the broker wants them, and `/etc/updates/eu` the line `connection = HostName=..;SharedAccessKeyName=..;SharedAccessKey=..` of a policy
//! that may read and write twins. In a hub the device `pump-7` of the tenant `st-mary` is `st-mary:pump-7`; with a line `tenant = st-mary`
//! it is `pump-7`. The access rules of a broker have to let a device write to its own topic of reports, and to no other.
//!
//! A broker may lose what it acknowledged: after each new connection the slots are verified, and what is lacking is written again.
//! One process at a time writes to a broker, as its client id is taken over by whoever connects last.
//!
//! # Several processes
//!
//! Any number of processes may share one ledger. Each step is one commit of the deployment, its lane, the locks of the
//! device and an audit record; a process that ends at any point leaves the remaining work in the ledger. Each region is
//! handled by a task of its own, so that an unavailable region holds up no other.
