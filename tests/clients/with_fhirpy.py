"""fhirpy against a running service: with_fhirpy.py BASE"""

import gzip
import json
import sys

import requests
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome
from hook import Hook

client = SyncFHIRClient(sys.argv[1])
devices = client.resources("Device")


def device(serial, **more):
    return client.resource("Device", identifier=[{"system": "urn:py", "value": serial}], **more)


# Create, conditionally too; update and delete.
made = device("1", model="py")
made.save()
assert made["meta"]["versionId"] == "1", made
# What this client calls a conditional creation has its condition in the address, which is none of FHIR's.
try:
    devices.search(identifier="urn:py|1").get_or_create(device("1"))
    raise AssertionError("a creation with a query was taken")
except OperationOutcome as outcome:
    assert "If-None-Exist" in str(outcome), outcome


def put(serial):
    answer = devices.search(identifier=f"urn:py|{serial}").update(device(serial, model="py"))
    return answer[0] if isinstance(answer, tuple) else answer


assert put("1")["id"] == made["id"]
put("2")
made.refresh()
made["model"] = "changed"
made.save()
for serial in "3456":
    device(serial, model="py").save()

# Searches in every way, over all their pages.
assert devices.search(identifier="urn:py|").count() == 6
assert len(devices.search(identifier="urn:py|").limit(2).fetch_all()) == 6
assert [one["identifier"][0]["value"] for one in devices.search(identifier="urn:py|").sort("-identifier").limit(2).fetch()] == ["6", "5"]
part = client.resource(
    "DeviceComponent", id="py-mds", identifier={"value": "py-mds"}, type={"text": "MDS"}, source=made.to_reference()
)
part.save()
components = client.resources("DeviceComponent")
assert components.search(source__identifier="urn:py|1").first()["id"] == "py-mds"
assert devices.has("DeviceComponent", "source", identifier="py-mds").first()["id"] == made["id"]
bundle = components.search(_id="py-mds").include("DeviceComponent", "source").fetch_raw()
assert len(bundle["entry"]) == 2, bundle
assert part["source"].to_resource()["id"] == made["id"]

# Histories, batches, operations.
history = client.execute("Device/_history", method="get", params={"_count": 1})
assert history["entry"][0]["request"]["method"] == "POST", history
batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": f"Device/{made['id']}"}}]}
assert client.execute("", data=batch)["entry"][0]["response"]["status"] == "200 OK"
assert client.execute("Device/$validate", data=device("9").serialize())["issue"][0]["severity"] == "information"
try:
    client.resource("Device", status="gone").save()
    raise AssertionError("a wrong status was taken")
except OperationOutcome as outcome:
    assert "required-binding" in str(outcome), outcome
# What this client calls a patch is none of FHIR's: JSON Patch is sent by what it stands on, as are bodies that are compressed.
base, address = sys.argv[1], f"{sys.argv[1]}/Device/{made['id']}"
patch = requests.patch(
    address,
    data=json.dumps([{"op": "add", "path": "/lotNumber", "value": "L1"}]),
    headers={"Content-Type": "application/json-patch+json"},
)
assert patch.json()["lotNumber"] == "L1", patch.text
zipped = requests.put(
    address,
    data=gzip.compress(json.dumps({**patch.json(), "model": "zipped " * 300}).encode()),
    headers={"Content-Type": "application/fhir+json", "Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
)
assert (zipped.status_code, zipped.headers["Content-Encoding"]) == (200, "gzip"), zipped.text

# Pages back and forth, transactions.
page = devices.search(identifier="urn:py|").sort("identifier").limit(2).fetch_raw()


def follow(bundle, relation):
    url = next(link["url"] for link in bundle["link"] if link["relation"] == relation)
    return requests.get(url).json()


back = follow(follow(page, "next"), "previous")
assert [entry["resource"]["id"] for entry in back["entry"]] == [entry["resource"]["id"] for entry in page["entry"]]
entries = [{"request": {"method": "GET", "url": f"Device/{made['id']}"}}]
transaction = {"resourceType": "Bundle", "type": "transaction", "total": 1, "entry": entries}
assert client.execute("", data=transaction)["entry"][0]["resource"]["id"] == made["id"]

# A subscription.
hook = Hook()
subscription = client.resource("Subscription", **hook.subscription("Device?model=told"))
subscription.save()
device("7", model="told").save()
hook.is_told()
subscription.refresh()
assert subscription["status"] == "active", subscription
subscription.delete()
made.delete()
