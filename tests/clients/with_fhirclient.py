"""fhirclient 3.2 of PyPI, whose models are those of STU3, against a running service: with_fhirclient.py BASE"""

import gzip
import json
import sys

import requests
from fhirclient import client
from fhirclient.models.bundle import Bundle
from fhirclient.models.device import Device
from fhirclient.models.devicecomponent import DeviceComponent
from fhirclient.models.subscription import Subscription
from hook import Hook

base = sys.argv[1]
server = client.FHIRClient(settings={"app_id": "gate", "api_base": base + "/"}).server


def device(identifier, **more):
    return Device({"resourceType": "Device", "identifier": [{"system": "urn:smart-py", "value": identifier}], **more})


# Create, read, update.
made = device("1", model="smart-py").create(server)
one = Device.read(made["id"], server)
assert (one.model, one.meta.versionId) == ("smart-py", "1")
one.model = "changed"
assert one.update(server)["meta"]["versionId"] == "2"
again = requests.post(
    f"{base}/Device",
    data=json.dumps(device("1").as_json()),
    headers={"Content-Type": "application/fhir+json", "If-None-Exist": "identifier=urn:smart-py|1"},
)
assert (again.status_code, again.json()["id"]) == (200, made["id"])
for number in "234":
    device(number).create(server)

# Searches, and their pages back and forth; every Bundle is one of the client's model.
found = Device.where({"identifier": "urn:smart-py|"}).perform_resources(server)
assert len(found) == 4, found
page = Device.where({"identifier": "urn:smart-py|", "_count": "2"}).perform(server)


def follow(bundle, relation):
    url = next(link.url for link in bundle.link if link.relation == relation)
    return Bundle(requests.get(url).json())


back = follow(follow(page, "next"), "previous")
assert [entry.resource.id for entry in back.entry] == [entry.resource.id for entry in page.entry]
part = DeviceComponent(
    {"resourceType": "DeviceComponent", "id": "smart-py-mds", "identifier": {"value": "1"}, "type": {"text": "MDS"},
     "source": {"reference": f"Device/{made['id']}"}}
)
part.update(server)
chained = DeviceComponent.where({"source.identifier": "urn:smart-py|1"}).perform_resources(server)
assert [one.id for one in chained] == ["smart-py-mds"]
included = DeviceComponent.where({"_id": "smart-py-mds", "_include": "DeviceComponent:source"}).perform(server)
assert len(included.entry) == 2

# Patch, histories, batches and transactions, validation, compression.
patch = requests.patch(
    f"{base}/Device/{made['id']}",
    data=json.dumps([{"op": "add", "path": "/lotNumber", "value": "L1"}]),
    headers={"Content-Type": "application/json-patch+json"},
)
assert patch.json()["lotNumber"] == "L1"
history = Bundle(server.request_json(f"Device/{made['id']}/_history"))
assert [entry.request.method for entry in history.entry] == ["PUT", "PUT", "POST"]
assert Bundle(server.request_json("_history?_count=1")).entry[0].response.lastModified
transaction = {"resourceType": "Bundle", "type": "transaction", "total": 1,
               "entry": [{"request": {"method": "GET", "url": f"Device/{made['id']}"}}]}
answer = Bundle(server.post_json("", transaction).json())
assert answer.entry[0].resource.id == made["id"]
batch = {"resourceType": "Bundle", "type": "batch", "entry": transaction["entry"] + [{"request": {"method": "GET", "url": "Device/none"}}]}
answer = Bundle(server.post_json("", batch).json())
assert [entry.response.status for entry in answer.entry] == ["200 OK", "404 Not Found"]
outcome = server.post_json("Device/$validate", device("9").as_json()).json()
assert outcome["issue"][0]["severity"] == "information"
zipped = requests.put(
    f"{base}/Device/{made['id']}",
    data=gzip.compress(json.dumps({**one.as_json(), "model": "zipped"}).encode()),
    headers={"Content-Type": "application/fhir+json", "Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
)
assert (zipped.status_code, zipped.headers["Content-Encoding"]) == (200, "gzip") or len(zipped.content) < 64, zipped.text
# A subscription.
hook = Hook()
wanted = hook.subscription("Device?model=told")
subscription = Subscription({"resourceType": "Subscription", **wanted}).create(server)
device("5", model="told").create(server)
hook.is_told()
subscription = Subscription.read(subscription["id"], server)
assert subscription.status == "active", subscription.as_json()
assert subscription.delete(server) is not False
assert one.delete(server) is not False
