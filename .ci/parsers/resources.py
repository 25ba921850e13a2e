"""Whether fhir.resources takes a document of R4B or R5."""
import importlib
import json
import sys

version, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    document = json.load(file)
package = "fhir.resources.R4B" if version == "r4b" else "fhir.resources"
name = document["resourceType"]
try:
    getattr(importlib.import_module(f"{package}.{name.lower()}"), name).model_validate(document)
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
