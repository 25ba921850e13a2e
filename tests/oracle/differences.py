"""Where two validators differ.   usage: differences.py DOCUMENTS THEIRS OURS

The exit status is 1 if a difference has no row in EXPLAINED.
"""
import collections
import json
import re
import sys

# What differs with a reason, and the row of `manual::conformance` that says it: who refuses alone, the finding, a part of its
# message, the row.
EXPLAINED = [
    ("here", "empty", "empty array", "empty arrays of primitives"),
    ("here", "uri", "", "a `uri` with characters that RFC 3986 has not"),
    ("here", "(code|id|oid|uri|dateTime|date|instant|time|base64Binary|string|markdown|decimal)", "is not of type", "the form of a primitive"),
    ("here", "extension-definition", "a second time", "an extension of HL7's own more often than its definition allows"),
    ("here", "profile-type", r"\|", "a profile of another type with its version"),
    ("there", "Validation_VAL_Profile_WrongType", "'(Domain)?Resource'", "the definition of DomainResource or Resource as a profile"),
    ("there", "TYPE_SPECIFIC_CHECKS_DT_ATT_B64_DECODE_FAIL", "", "white space within the groups of a `base64Binary`"),
    ("there", "REFERENCE_REF_QUERY_INVALID", "", "a conditional reference without a query"),
    ("here", "ucum", "", "a unit of a quantity that UCUM does not have (feature `ucum`)"),
    ("here", "array-length", "", "arrays of a repeating primitive"),
    ("here", "element-id", "", "an id of an element with a space"),
    ("here", "ele-1", "nothing but an id", "an element with nothing but an id"),
    ("here", "extension-url", "urn", "an extension addressed by a URN"),
    ("here", "reference-target", "", "a reference to a type that the element does not allow"),
    ("here", "language", "", "a language with an underscore (`de_DE`)"),
    ("here", "unknown-member", "`_id` is not a member", "extensions of the id of an element (`_id`)"),
    ("there", "Type_Specific_Checks_DT_OID_Valid", "", "URNs of wrong form (`urn:oid:2.16.x`, `urn:uuid:a`, an upper-case UUID) in a `uri`"),
    ("there", "Type_Specific_Checks_DT_UUID_Valid", "", "URNs of wrong form (`urn:oid:2.16.x`, `urn:uuid:a`, an upper-case UUID) in a `uri`"),
    ("there", "Type_Specific_Checks_DT_Identifier_System", "", "a relative system of an identifier"),
    ("there", "TYPE_SPECIFIC_CHECKS_DT_IDENTIFIER_IETF_SYSTEM_VALUE", "", "an identifier of `urn:ietf:rfc:3986` that is no URI"),
    ("there", "REFERENCE_REF_INVALID_REF", "", "a reference of no known form (`a b`, `2017-13`)"),
    ("there", "Reference_REF_Format", "", "a reference of no known form (`a b`, `2017-13`)"),
    ("there", "Terminology_PassThrough_TX_Message", "#null'", "a coding with a system and no code"),
    ("there", "Terminology_TX_NoValid_11", "All Languages", "registered languages that HAPI does not list"),
    ("there", "Terminology_TX_NoValid_8", "languageCode.*All Languages", "a `languageCode` without a code of `urn:ietf:bcp:47`"),
    ("there", "Terminology_TX_Code_ValueSet", "No code provided", "a required element that has only an extension, `_id` of a resource, a language in words alone"),
    ("there", "Resource_RES_ID_Malformed_Chars", "'null'", "a required element that has only an extension, `_id` of a resource, a language in words alone"),
    ("there", "Bundle_BUNDLE_Entry_NoFullUrl", "", "an entry of a batch or transaction without `fullUrl`"),
    ("there", "BUNDLE_BUNDLE_ENTRY_FULLURL_REQUIRED", "", "an entry without a resource or `fullUrl`, as of a deletion"),
    ("there", "BUNDLE_ENTRY_URL_MATCHES_NO_ID", "", "a resource without an id at the address of one"),
    ("there", "Terminology_TX_System_Relative", "", "a relative system of an identifier"),
    ("there", "BUNDLE_LINK", "can only occur once", "a relation of links that comes twice"),
    ("there", "BUNDLE_SEARCH_ENTRY_NO_RESOURCE_ID", "", "what a search found has no id"),
    ("there", "Bundle_BUNDLE_FullUrl_Missing", "", "an entry of a batch or transaction without `fullUrl`"),
    ("there", "", "A document must have a date|must contain at least one entry", "a document without `meta.lastUpdated`, or without entries"),
    ("there", "Meta_RES_Security_Duplicate", "", "a security label that comes twice"),
    ("there", "", "reachable by traversing links", "an entry of a document that nothing refers to"),
    ("there", "", r"contained\[|Composition|Bundle\.entry\[0\]\.resource\b|^Parameters\.", "a type that is not modelled"),
    ("there", "", "org-1", "a type that is not modelled"),
]


def explanation(side, kind, message):
    for whose, name, part, row in EXPLAINED:
        if whose == side and re.match(name, kind) and re.search(part, message):
            return row
    return None


with open(sys.argv[1]) as documents, open(sys.argv[2]) as theirs, open(sys.argv[3]) as ours:
    rows = [tuple(json.loads(line) for line in lines) for lines in zip(documents, theirs, ours, strict=True)]
counts, explained, kinds = collections.Counter(), collections.Counter(), collections.defaultdict(list)
for document, other, own in rows:
    errors = [issue for issue in own["issue"] if issue["severity"] in ("error", "fatal")]
    if other["crash"]:
        counts["the reference validator crashed"] += 1
        continue
    if bool(errors) == bool(other["errors"]):
        counts["both refuse" if errors else "both accept"] += 1
        continue
    if errors:
        side, found = "here", [(issue["details"]["coding"][0]["code"], issue["diagnostics"]) for issue in errors]
    else:
        side, found = "there", [(str(issue["kind"]), f"{issue['at']}: {issue['text']}") for issue in other["errors"]]
    reasons = [explanation(side, *finding) for finding in found]
    if None in reasons:
        finding = found[reasons.index(None)]
        kinds[f"refused {side} alone: {finding[0]}"].append((document, finding[1]))
    else:
        explained[f"refused {side} alone: {reasons[0]}"] += 1
for what, number in (counts + explained).most_common():
    print(number, what)
for kind, differences in sorted(kinds.items(), key=lambda item: -len(item[1])):
    print(len(differences), "WITHOUT A REASON,", kind)
    for document, message in differences[:3]:
        print("    ", message[:200])
        print("        ", document["document"][:300])
sys.exit(1 if kinds else 0)
