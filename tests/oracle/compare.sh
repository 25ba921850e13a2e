#!/usr/bin/env bash
# usage: compare.sh SEED COUNT [RESOURCE_TYPE]     see README.md
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${ORACLE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/fhir-oracle}
mkdir -p "$work/classes"
if [ ! -f "$work/complete" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/lib"
    touch "$work/complete"
fi
javac -nowarn -cp "$work/lib/*" -d "$work/classes" "$here/Judge.java"
judge() { java -Xmx6g -cp "$work/classes:$work/lib/*" Judge < "$1" > "$2"; }
python3 "$here/documents.py" sources ${3:+"$3"} > "$work/all.ndjson"
judge "$work/all.ndjson" "$work/all-theirs.ndjson"
python3 "$here/accepted.py" "$work/all.ndjson" "$work/all-theirs.ndjson" > "$work/sources.ndjson"
python3 "$here/documents.py" faulty "$1" "$2" < "$work/sources.ndjson" > "$work/documents.ndjson"
judge "$work/documents.ndjson" "$work/theirs.ndjson"
(cd "$root" && cargo build --release --quiet --features ucum --example validate)
target=$(cd "$root" && cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
python3 -c 'import json, sys
for line in sys.stdin: print(json.loads(line)["document"].replace("\n", " "))' < "$work/documents.ndjson" \
    | "$target/release/examples/validate" --ndjson - > "$work/ours.ndjson" || true
python3 "$here/differences.py" "$work/documents.ndjson" "$work/theirs.ndjson" "$work/ours.ndjson"
