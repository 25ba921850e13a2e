//! Releases and rollouts: updating many components, with proof of success.
//!
//! A *release* is an update file that is held once for any number of components. A *rollout* brings it to those components in
//! waves, and a *deployment* is one component in a rollout. [`service::RolloutService`](crate::service::RolloutService) does
//! it in a program; what follows does it over HTTP, with a service that was started by
//! `cargo run --release --features server --example update_service`.
//!
//! An *upload* is for one component, which shows it as an available update at once; nothing else
//! happens. A *release* is for any number of components, and reaches them by rollouts, which prove what they did. An upload that
//! is attached becomes a release without copying by
//! [`release_upload`](crate::service::RolloutService::release_upload), as to try it on one device first. Its component goes on
//! showing the upload as `current`: that is the newest update that is meant for it, whether it runs it or not; what it runs stands in its
//! `productionSpecification`.
//!
//! # 1. Release
//!
//! ```text
//! curl -F Name=pump/main -F Version=2.4.0 -F Sequence=6 -F Level=mds -F file=@pump.bin http://127.0.0.1:8080/demo/releases
//! {"id":"0f3c..","name":"pump/main","version":"2.4.0","sequence":6,"files":[..],"status":"released",..}
//! ```
//!
//! `Level` (`mds`, `vmd` or `channel`) or `Type` (a code of ISO/IEEE 11073-10101) says which components it is for. `Sequence` is
//! its place among the updates of a component, uploads and releases together. A component that accepted the same number or a higher
//! one for another update is not offered this one: its deployment ends as `superseded`. Attempts, later rollouts of the same release, and
//! the upload that a release was made of, count as one update.
//! `Reports` says which production specification shows its version, `VersionScheme` how versions are compared, `Sha256` what the
//! file has to be.
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
//! | member | what it says |
//! |---|---|
//! | `scope` | a search of DeviceComponent: those of the release are meant that it finds. All, without it |
//! | `waves` | how many of 1,000 components are in each, and what has to be so, and for how long, before the next one begins; `pause_after` waits for somebody |
//! | `pins` | ids of components that are in the first wave in any case |
//! | `cap` | how many devices may be at work at once |
//! | `stop` | the rollout halts when more than so many of 1,000 that are done came to one of these outcomes; shares are of `min_done` at least. `unproven` always counts |
//! | `timeouts` | for how long an offer stands, and how long a device may take to begin the installation, to finish it, and to prove it |
//! | `retry` | `max_attempts`, and how long after the first failure the next attempt comes (`first`), growing by `factor` up to `most` |
//! | `gates` | what has to be open: `clinical-use` (the Device names no patient), and what a program adds by a [`GateProvider`](crate::service::GateProvider): `window`, `operator-hold`, `consent`, `market`, `requirements` |
//! | `approvals` | how many others than the author have to approve it |
//! | `proof` | `version-report` (default), or `device-says` where the word of the device is enough |
//! | `regions`, `lanes` | where, and in how many parts that work side by side; all regions and one lane each, without it |
//! | `supersedes` | the rollout that ends when this one begins |
//!
//! Devices say by a tag in `meta.tag` in which region they are; the system of the tag is
//! [`CanonicalName::Region`](crate::primitive::CanonicalName::Region).
//!
//! # 3. What a device does
//!
//! Devices with a client of hawkBit's interface (SWUpdate, rauc-hawkbit-updater) poll `GET /TENANT/controller/v1/DEVICE`:
//! [`linux_device`](super::linux_device). Others do this:
//!
//! 1. It asks for its offers: `GET /TENANT/devices/DEVICE/offers`.
//! 2. It fetches the file at the `link` of the offer. It is written that it has it, and only then it gets a byte. 410 means that
//!    the offer was taken back, 425 and 503 that it may ask later.
//! 3. It reports, as often as it likes, to `POST /TENANT/devices/DEVICE/reports`: one report, or a list of up to 64.
//!
//! ```text
//! {"kind":"phase","key":"KEY OF THE OFFER","phase":"installing"}
//! {"kind":"failed","key":"..","code":"no-space","transient":true}
//! {"kind":"versions","restarted":true,"items":[{"component":"pump-mds","version":"2.4.0"}]}
//! ```
//!
//! The last one is the proof. A device may say that it is `done` before the new software was started once, so that this alone
//! proves nothing. The version is written into the `productionSpecification` of the component, whatever becomes of the rollout.
//! Reports that are repeated or come late are answered with 200. A device whose reports may overtake each other gives those of versions
//! a `number` that rises: one that is lower than the last changes nothing.
//!
//! # 4. Look, stop, go on
//!
//! | request | what it does |
//! |---|---|
//! | `GET /TENANT/rollouts/ID` | status, wave, counts by state and outcome, for each region too, and `already_out` |
//! | `GET .../deployments?outcome=unproven` | the components of a rollout; `already_out=true` for those whose device was given bytes |
//! | `GET .../deployments/ID/explain` | what holds one up |
//! | `GET .../measures` | how long it took from the release to the proof, in the median and for 95 of 100; what is late |
//! | `POST .../pause`, `/resume`, `/cancel`, `/approve`, `/deny` | with `{"reason": ".."}` |
//! | `GET /TENANT/releases/ID/behind` | the components that run a lower version, whatever any rollout says |
//! | `DELETE /TENANT/releases/ID?reason=..` | withdraws a release: its rollouts are cancelled first |
//! | `GET /TENANT/fhir/Task/ID` | a deployment as a FHIR Task |
//! | `GET /TENANT/fhir/AuditEvent?entity=Task/ID` | the audit records of a deployment |
//! | `GET /TENANT/fhir/Provenance?entity=Task/ID` | which version of the component the report of its device made |
//!
//! `halting`, `pausing` and `cancelling` say what is wanted; `halted`, `paused` and `cancelled` that every lane has done it. After
//! them no device gets a byte, whatever a region forgets or repeats, and `already_out` counts exactly those that had some. A
//! device that had the bytes may install them all the same: it is asked to stop, and its version tells what it did.
//!
//! A rollout that halted goes on by `resume`, with as many approvals as its start, and counts failures from there.
//!
//! # Outcomes
//!
//! | outcome | what is known |
//! |---|---|
//! | `succeeded` | a version report says that the component runs the update |
//! | `already-current` | it did before it was offered |
//! | `failed`, `rejected` | the device says that it could not, or would not |
//! | `rolled-back` | the device was started after the installation, and runs something else |
//! | `timed-out` | it never asked for the bytes |
//! | `unproven` | it had the bytes, and nobody knows what it runs: somebody has to look |
//! | `withdrawn`, `cancelled` | the rollout ended first |
//! | `superseded` | a newer rollout took the place of this one, or the component accepted a sequence number that is as high or higher |
//! | `retired` | the component is gone |
//!
//! # Several processes
//!
//! Any number of processes may work on one ledger. Each step is one commit of the deployment, its lane, the locks of the device
//! and an audit record; a process that ends anywhere leaves what is to be done in the ledger. Each region is worked on by a task
//! of its own, so that one that is down holds up no other.
