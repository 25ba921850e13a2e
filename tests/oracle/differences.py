"""Where two judges differ.   usage: differences.py DOCUMENTS THEIRS OURS"""
import collections
import json
import sys

documents, theirs, ours = ([json.loads(line) for line in open(name)] for name in sys.argv[1:4])
counts, kinds = collections.Counter(), collections.defaultdict(list)
for document, other, own in zip(documents, theirs, ours, strict=True):
    errors = [issue for issue in own["issue"] if issue["severity"] in ("error", "fatal")]
    if other["crash"]:
        counts["the reference validator crashed"] += 1
    elif bool(errors) == bool(other["errors"]):
        counts["both refuse" if errors else "both accept"] += 1
    elif errors:
        kinds["refused here alone: " + errors[0]["details"]["coding"][0]["code"]].append((document, errors[0]["diagnostics"]))
    else:
        kinds["refused there alone: " + other["errors"][0]["kind"]].append((document, other["errors"][0]["text"]))
for what, number in counts.items():
    print(number, what)
for kind, rows in sorted(kinds.items(), key=lambda item: -len(item[1])):
    print(len(rows), kind)
    for document, message in rows[:3]:
        print("    ", message[:200])
        print("        ", document["document"][:300])
