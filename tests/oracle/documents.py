"""Documents with one or two random faults, one a line.   usage: documents.py SEED COUNT [RESOURCE_TYPE]"""
import copy
import json
import os
import pathlib
import random
import sys

seed, count = int(sys.argv[1]), int(sys.argv[2])
wanted_type = sys.argv[3] if len(sys.argv) > 3 else None
choose = random.Random(seed)
root = pathlib.Path(__file__).resolve().parent.parent.parent

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


def sources():
    folder = pathlib.Path(os.environ.get("FHIR_DEVICES_CORPUS", root / "tests" / "data"))
    texts = [json.loads(line)["document"] for path in folder.glob("cases/valid.jsonl") for line in path.open()]
    texts += [path.read_text() for path in sorted(folder.glob("published/*.json")) + sorted(folder.glob("accepted/*.json"))]
    for text in texts:
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, dict) and wanted_type in (None, document.get("resourceType")):
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


known = list(sources())
if not known:
    sys.exit("no document to start from")
for number in range(count):
    document = copy.deepcopy(choose.choice(known))
    for _ in range(choose.choice([1, 1, 1, 2])):
        if document:
            change(document)
    print(json.dumps({"id": number, "document": json.dumps(document, ensure_ascii=False)}))
