"""Holds the tables of src/convert/check.rs and src/convert/codes.rs to the definitions of R4B and R5 that HL7 publishes.

The resources and Bundle must have a row for every element that their version requires and for every code of a required
binding; every row, those of the datatypes too, must have the codes of the value set, no more and no fewer. R4 has the same
elements and codes as R4B in these types.

    definitions.py TREE FOLDER      where FOLDER has the packages hl7.fhir.r4b.core and hl7.fhir.r5.core
"""
import json
import pathlib
import re
import sys

TREE, PACKAGES = (pathlib.Path(argument) for argument in sys.argv[1:])
# The code that guides of R4 require of a Device although R4 has it not.
ADDED = {("r4b", "Device.udiCarrier.entryType"): {"electronic-transmission"}}

codes_text = (TREE / "src/convert/codes.rs").read_text(encoding="utf-8")
check_text = (TREE / "src/convert/check.rs").read_text(encoding="utf-8")

constants = dict(re.findall(r'const (\w+): &str = "([^"]*)";', codes_text))
lists = {}
for name, body in re.findall(r"const (\w+): &\[&str\] =\s*&\[(.*?)\];", codes_text, re.S):
    lists[name] = {quoted or constants[word] for quoted, word in re.findall(r'"([^"]*)"|\b([A-Z][A-Z_0-9]+)\b', body)}
colors = re.search(r'const COLOR_NAMES: &str = "(.*?)";', codes_text, re.S).group(1)
COLORS = set(colors.replace("\\", " ").split())


def members(text):
    """The members of one table: the name, whether it is required, and its codes."""
    rows = {}
    for kind, name, codes, required in re.findall(
        r'\b(required|code)\("([^"]+)"(?:,\s*(?:of!\(([^)]*)\)|[\w:]+))?\)(\.required\(\))?', text
    ):
        own = set().union(*(lists[one.strip()] for one in codes.split("|"))) if codes else None
        if kind == "code" and not codes:
            # A function judges the colours of R5: names of the value set, which are not the only ones.
            own = COLORS
        rows[name] = (kind == "required" or bool(required), own)
    return rows


def tables(start, end):
    """The rows of a part of the text, by the path of the element."""
    text = check_text[check_text.index(start) : check_text.index(end)]
    found = {}
    parts = re.split(r'\(\s*"(\w+)",\s*"(\w*)",\s*&\[|\(Kind::(\w+),\s*&\[', text)
    for resource, holder, kind, body in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4]):
        path = kind or ".".join(part for part in (resource, holder) if part)
        path = "Timing.repeat" if path == "Repeat" else path
        if resource == "Bundle" and holder in ("search", "request", "response"):
            path = f"Bundle.entry.{holder}"
        for name, row in members(body).items():
            found[f"{path}.{name}"] = row
    return found


def read(folder, name):
    with open(folder / f"{name}.json", encoding="utf-8") as file:
        return json.load(file)


class Definitions:
    def __init__(self, package):
        self.folder = PACKAGES / package
        self.sets, self.systems = {}, {}
        for file in self.folder.glob("ValueSet-*.json"):
            one = json.loads(file.read_text(encoding="utf-8"))
            self.sets[one.get("url")] = one
        for file in self.folder.glob("CodeSystem-*.json"):
            one = json.loads(file.read_text(encoding="utf-8"))
            self.systems[one.get("url")] = one

    def codes_of(self, url):
        """The codes of a value set; nothing where they are not all at hand."""
        one = self.sets.get(url.split("|")[0])
        if one is None:
            return None
        codes = set()
        for part in one["compose"]["include"]:
            if "filter" in part:
                return None
            for inner in part.get("valueSet", []):
                codes |= self.codes_of(inner) or set()
            if "concept" in part:
                codes |= {concept["code"] for concept in part["concept"]}
            elif "system" in part:
                system = self.systems.get(part["system"])
                if system is None or system.get("content") not in ("complete", "supplement"):
                    return None
                codes |= set(self.concepts(system.get("concept", [])))
        for part in one["compose"].get("exclude", []):
            codes -= {concept["code"] for concept in part.get("concept", [])}
        return codes

    def concepts(self, concepts):
        for concept in concepts:
            abstract = any(one.get("code") == "notSelectable" and one.get("valueBoolean") for one in concept.get("property", []))
            if not abstract:
                yield concept["code"]
            yield from self.concepts(concept.get("concept", []))

    def elements(self, name):
        return read(self.folder, f"StructureDefinition-{name}")["snapshot"]["element"]


def codes_of_binding(element):
    binding = element.get("binding", {})
    is_code = any(one["code"] == "code" for one in element.get("type", []))
    return binding.get("valueSet") if is_code and binding.get("strength") == "required" else None


faults = []
both = {**tables("const BOTH", "const R4:"), **tables("const DATATYPES:", "const DATATYPES_R4")}
for version, package, own in [
    ("r4b", "hl7.fhir.r4b.core", {**tables("const R4:", "const R5:"), **tables("const DATATYPES_R4", "const DATATYPES_R5")}),
    ("r5", "hl7.fhir.r5.core", {**tables("const R5:", "/// The members of the datatypes"), **tables("const DATATYPES_R5", "/// Checks an object")}),
]:
    definitions = Definitions(package)
    rows = dict(both)
    for path, (is_required, codes) in own.items():
        before = rows.get(path, (False, None))
        rows[path] = (is_required or before[0], codes or before[1])
    compared_rows, compared = set(), 0
    names = {path.split(".")[0] for path in rows}
    for name in sorted(names):
        is_resource = name in ("Device", "DeviceMetric", "Bundle")
        elements = definitions.elements(name)
        for element in elements:
            path = element["path"]
            if path not in rows and not is_resource or "." not in path:
                continue
            if path.split(".")[-1] in ("id", "extension", "modifierExtension", "language", "contained"):
                continue
            required = element["min"] > 0
            value_set = codes_of_binding(element)
            wanted = definitions.codes_of(value_set) if value_set else None
            if wanted is not None:
                wanted = wanted | ADDED.get((version, path), set())
            if path not in rows:
                if required or wanted is not None:
                    faults.append(f"{version} {path}: no row, and it is required or has codes of its own")
                continue
            compared_rows.add(path)
            is_required, codes = rows[path]
            if is_required != required:
                faults.append(f"{version} {path}: required is {is_required}, the definition says {required}")
            if value_set and wanted is None:
                continue
            if (codes is None) != (wanted is None):
                faults.append(f"{version} {path}: codes here: {codes is not None}, in the definition: {wanted is not None}")
            compared += codes is not None
            if codes is not None and wanted is not None and codes != wanted:
                faults.append(f"{version} {path}: too many {sorted(codes - wanted)}, too few {sorted(wanted - codes)}")
    faults += [f"{version} {path}: the definition has no such element" for path in sorted(set(rows) - compared_rows)]
    if len(compared_rows) < 30 or compared < 12:
        faults.append(f"{version}: only {len(compared_rows)} rows and {compared} sets of codes were compared")
for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(1 if faults else 0)
