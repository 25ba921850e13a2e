//! Update a Linux device in ten minutes: SWUpdate of Debian, unmodified, takes a signed image from the service and proves it.
//!
//! Every command on this page is run by the tests of this crate, in this order, in one shell. The device and the service are on one
//! machine here; on two, the service listens by TLS and asks for tokens ([below](#on-another-machine)).
//!
//! Install SWUpdate and the tools for its images: `apt-get install swupdate cpio openssl curl`. Other clients of
//! hawkBit's device interface work as well: rauc-hawkbit-updater, Zephyr, the crate `hawkbit`. The answers of the
//! service are described at [`ddi`](crate::ddi).
//!
//! # 1. Start the service
//!
//! ```sh
//! cargo run --release --features server --example update_service -- --listen 127.0.0.1:8080 --no-demo --device-polling 2 &
//! service=$!
//! ```
//!
//! # 2. Create the device
//!
//! Create a Device, and the DeviceComponent that the software belongs to, in the tenant `ward`. It runs version 2.3.
//!
//! ```sh
//! fhir=http://127.0.0.1:8080/ward/fhir
//! put='curl --fail --silent --show-error --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null -X PUT'
//! $put -H 'Content-Type: application/fhir+json' $fhir/Device/pump-7 -d '{"resourceType":"Device","id":"pump-7"}'
//! $put -H 'Content-Type: application/fhir+json' $fhir/DeviceComponent/pump-7-mds -d '{
//!   "resourceType": "DeviceComponent", "id": "pump-7-mds", "identifier": {"value": "1"},
//!   "source": {"reference": "Device/pump-7"},
//!   "type": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "69985"}]},
//!   "productionSpecification": [{
//!     "specType": {"coding": [{"system": "http://hl7.org/fhir/specification-type", "code": "software-revision"}]},
//!     "productionSpec": "2.3"}]}'
//! ```
//!
//! # 3. Sign an image
//!
//! The manufacturer has the key. The device has the certificate, and installs nothing else: the service cannot make an
//! image, even if it is compromised.
//!
//! ```sh
//! openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 365 -subj '/CN=maker' \
//!   -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature
//! echo 'firmware 2.4' > firmware.bin
//! cat > sw-description <<END
//! software = {
//!   version = "2.4";
//!   hardware-compatibility: [ "1.0" ];
//!   files: ( { filename = "firmware.bin"; path = "$PWD/installed.bin"; sha256 = "$(sha256sum firmware.bin | cut -d' ' -f1)"; } );
//! }
//! END
//! openssl cms -sign -in sw-description -out sw-description.sig -signer certificate.pem -inkey key.pem \
//!   -outform DER -nosmimecap -binary
//! printf '%s\n' sw-description sw-description.sig firmware.bin | cpio -o -H crc > pump.swu
//! ```
//!
//! # 4. Release it, and roll it out
//!
//! `Level=mds` selects the components at the top of a device. [`rollouts`](super::rollouts) describes the other
//! settings: waves, limits, approvals.
//!
//! ```sh
//! ward=http://127.0.0.1:8080/ward
//! id() { sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p'; }
//! release=$(curl --fail --silent --show-error $ward/releases -F Name=pump/main -F Version=2.4 -F Sequence=1 -F Level=mds \
//!   -F file=@pump.swu | id)
//! rollout=$(curl --fail --silent --show-error $ward/rollouts -H 'Content-Type: application/json' \
//!   -d "{\"release\":\"$release\"}" | id)
//! ```
//!
//! # 5. Start the device
//!
//! The device reports its versions in `identify`: `sw.` and the id of the component. `restarted` says that the version
//! was read at a restart of the device, so that a version other than an installed update means a rollback. Write the
//! file at each start.
//!
//! ```sh
//! cat > swupdate.cfg <<END
//! globals : { verbose = true; };
//! identify : ( { name = "sw.pump-7-mds"; value = "2.3"; }, { name = "restarted"; value = "true"; } );
//! END
//! swupdate -f swupdate.cfg -H pump:1.0 -k certificate.pem -u '-t ward -u http://127.0.0.1:8080 -i pump-7' > device.log &
//! device=$!
//! until [ -f installed.bin ]; do sleep 1; done
//! ```
//!
//! The file is installed, and the device waits for its restart. The service knows that the device has the bytes, but
//! not yet which version it runs.
//!
//! ```sh
//! until curl --silent $ward/rollouts/$rollout | grep -q '"claimed":1'; do sleep 1; done
//! curl --silent $fhir/DeviceComponent/pump-7-mds | grep -q '"productionSpec":"2.3"'
//! ```
//!
//! # 6. Restart the device
//!
//! The device runs the new software, and its boot loader reports success (`-c 2`).
//!
//! ```sh
//! kill $device
//! wait $device || true
//! sed -i 's/2\.3/2.4/' swupdate.cfg
//! swupdate -f swupdate.cfg -H pump:1.0 -k certificate.pem -u '-t ward -u http://127.0.0.1:8080 -i pump-7 -c 2' >> device.log &
//! device=$!
//! until curl --silent $ward/rollouts/$rollout | grep -q '"status":"completed"'; do sleep 1; done
//! ```
//!
//! The reported version is the proof, and is written into the component.
//!
//! ```sh
//! curl --silent $ward/rollouts/$rollout | grep -q '"succeeded":1'
//! curl --silent $fhir/DeviceComponent/pump-7-mds | grep -q '"productionSpec":"2.4"'
//! kill $device $service
//! ```
//!
//! # On another machine
//!
//! - The service listens by TLS and requires tokens: `--tls-cert`, `--tls-key` and `--tokens`. A line `sha256:DIGEST
//!   ward as device/pump-7 may device` in the token file is the token of this device, of which the service keeps only
//!   the digest; SWUpdate sends it with `-k TOKEN`. A line with another name and `may device` is that of a gateway (`-g
//!   TOKEN`), which acts for every device of the tenant. The file has 1 MiB at most, which is some 9,000 devices;
//!   beyond that, a program provides an `Authenticator` of its own.
//! - Links to bytes are signed for the device and valid for a day. They contain no token, so that `--cdn-url` may lead
//!   to a cache that knows none. SWUpdate needs no token for them (`swupdate .. --disable-token-for-dwl`).
//! - Devices poll every five minutes, and up to a fifth later (`--device-polling`).
//! - A cancellation or a success reported by SWUpdate is not taken as proof: the outcome is `succeeded`, `cancelled` or
//!   `rolled-back` once its version is reported, and `unproven` if that does not arrive in time.
//! - SWUpdate reads the size of an image as a signed number of 32 bits: images are smaller than 2 GiB.
