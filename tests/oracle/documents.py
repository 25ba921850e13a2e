"""Documents to check, one a line.

usage: documents.py sources [RESOURCE_TYPE]           the documents of the corpus
       documents.py faulty SEED COUNT < SOURCES       copies of them with one or two random faults
"""
import copy
import json
import os
import pathlib
import random
import sys

root = pathlib.Path(__file__).resolve().parent.parent.parent
choose = random.Random()

# Values that some type accepts and another one does not.
TEXTS = [
    "", " ", " a", "a ", "a b", "a\tb", "a\u00a0b", "x" * 70, "\u0001", "é", "http://a.example/b c", "http://a.example",
    "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "urn:uuid:53FEFA32-FCBB-4FF8-8A92-55EE120877B7", "urn:uuid:a",
    "urn:oid:2.16.840.1", "urn:oid:2.16.x", "2017", "2017-13", "2017-02-30", "2017-02-28", "2017-01-01T10:00:00",
    "2017-01-01T10:00:00Z", "12:00:00", "24:00:00", "true", "1", "-1", "1.5", "active", "male", "QUJD", "QUJ", "de_DE", "de-",
    "en-US", "zh-Hant-TW", "Device/1", "Patient/1", "Patient/a_b", "#x", "Device?identifier=a", "mg", "mm[Hg]", "mmHg",
    "http://unitsofmeasure.org", "http://hl7.org/fhir/v3/Confidentiality", "measurement", "two-point", "generated",
    '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div>', '<div xmlns="http://www.w3.org/1999/xhtml"><ul>a</ul></div>',
    "<div>a</div>",
]
NUMBERS = [0, 1, -1, 1.5, 2147483648, 1e10]
NAMES = [
    "id", "extension", "modifierExtension", "value", "unit", "code", "system", "display", "text", "reference", "identifier",
    "type", "status", "period", "url", "valueString", "valueCode", "valueUri", "valueQuantity", "contained", "language", "meta",
    "resourceType", "_id", "_status", "contact", "category", "fullUrl", "hash", "size",
]


# What the reference validator refuses wrongly, and would hide what else it says of a document.
REPLACED = {"urn:oid:1.2.3": "urn:oid:2.16.840.1.113883.4.1", "zh-Hant-TW": "zh-TW"}


def bundles(resources):
    """Bundles of every type, made of `resources`."""
    asked = {"POST": "201", "PUT": "200", "DELETE": "204", "GET": "200"}
    for number in range(90):
        kind = ["document", "searchset", "collection", "history", "batch", "transaction", "batch-response", "transaction-response"][number % 8]
        entries = []
        for resource in choose.sample(resources, choose.randrange(1, 4)):
            method, resource = choose.choice(list(asked)), {**resource, "id": resource.get("id", "made-1")}
            url = f"{resource['resourceType']}/{resource['id']}"
            entry = {"fullUrl": "http://example.org/fhir/" + url, "resource": resource}
            if kind == "searchset":
                entry["search"] = {"mode": choose.choice(["match", "include"]), "score": 0.5}
            if kind in ("history", "batch", "transaction"):
                entry["request"] = {"method": method, "url": resource["resourceType"] if method == "POST" else url}
                if method in ("GET", "DELETE"):
                    del entry["resource"]
                if method != "PUT" and kind != "history":
                    del entry["fullUrl"]
            if kind.endswith("-response"):
                entry["response"] = {"status": asked[method], "etag": 'W/"1"', "lastModified": "2017-05-26T11:56:33Z"}
            entries.append(entry)
        if kind == "document":
            subject = {"reference": entries[0]["fullUrl"]}
            code = {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]}
            composition = {
                "resourceType": "Composition", "id": "made-2", "status": "final", "type": code, "subject": subject,
                "date": "2017-05-26", "author": [subject], "title": "a",
            }
            entries.insert(0, {"fullUrl": "http://example.org/fhir/Composition/made-2", "resource": composition})
        made = {"resourceType": "Bundle", "id": "made-3", "meta": {"lastUpdated": "2017-05-26T11:56:33Z"}, "type": kind, "entry": entries}
        if kind == "document":
            made["identifier"] = {"system": "http://example.org/bundles", "value": "1"}
        if kind in ("searchset", "history"):
            made["total"] = len(entries)
            made["link"] = [{"relation": "self", "url": "http://example.org/fhir/Device"}]
        yield made


def sources(wanted_type):
    choose.seed(0)
    known = list(documents_of_corpus())
    if wanted_type in (None, "Bundle"):
        known += bundles([document for document in known if document.get("resourceType") in ("Device", "DeviceComponent", "DeviceMetric")])
    return (document for document in known if wanted_type in (None, document.get("resourceType")))


def documents_of_corpus():
    folder = pathlib.Path(os.environ.get("FHIR_DEVICES_CORPUS", root / "tests" / "data"))
    texts = [json.loads(line)["document"] for path in folder.glob("cases/valid.jsonl") for line in path.open()]
    texts += [path.read_text() for path in sorted(folder.glob("published/*.json")) + sorted(folder.glob("accepted/*.json"))]
    for text in texts:
        for found, replacement in REPLACED.items():
            text = text.replace(f'"{found}"', f'"{replacement}"')
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def places(value, path=()):
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, path + (key,))


def some_value():
    kinds = [lambda: choose.choice(TEXTS)] * 6 + [
        lambda: choose.choice(NUMBERS),
        lambda: choose.choice([True, False, None]),
        lambda: choose.choice([{}, []]),
        lambda: [choose.choice(TEXTS)],
        lambda: {"reference": choose.choice(TEXTS)},
        lambda: {"extension": [{"url": "http://a.example/e", "valueString": "a"}]},
    ]
    return choose.choice(kinds)()


def change(document):
    path = choose.choice(list(places(document)))
    owner = document
    for key in path[:-1]:
        owner = owner[key]
    key, how = path[-1], choose.randrange(6)
    if how == 0:
        del owner[key]
    elif how == 1 and isinstance(owner, dict):
        owner[choose.choice([key + "x", "_" + key, choose.choice(NAMES)])] = owner.pop(key)
    elif how == 2:
        target = owner if isinstance(owner, dict) else document
        target[choose.choice(NAMES)] = some_value()
    elif how == 3:
        value = owner[key]
        owner[key] = value[0] if isinstance(value, list) and value else [value]
    elif how == 4 and isinstance(owner[key], list) and owner[key]:
        owner[key].append(copy.deepcopy(choose.choice(owner[key])))
    else:
        owner[key] = some_value()


def faulty(known, seed, count):
    choose.seed(seed)
    for _ in range(count):
        document = copy.deepcopy(choose.choice(known))
        for _ in range(choose.choice([1, 1, 1, 2])):
            if document:
                change(document)
        yield document


if sys.argv[1] == "sources":
    documents = sources(sys.argv[2] if len(sys.argv) > 2 else None)
else:
    known = [json.loads(json.loads(line)["document"]) for line in sys.stdin]
    if not known:
        sys.exit("no document to start from")
    documents = faulty(known, int(sys.argv[2]), int(sys.argv[3]))
for number, document in enumerate(documents):
    print(json.dumps({"id": number, "document": json.dumps(document, ensure_ascii=False)}))
