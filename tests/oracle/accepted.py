"""The documents without an error in the reference validator's eyes.   usage: accepted.py DOCUMENTS VERDICTS"""
import json
import sys

with open(sys.argv[1]) as documents, open(sys.argv[2]) as verdicts:
    for document, verdict in zip(documents, verdicts, strict=True):
        verdict = json.loads(verdict)
        if not verdict["errors"] and not verdict["crash"]:
            sys.stdout.write(document)
