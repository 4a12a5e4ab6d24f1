#!/bin/sh
# generate.sh PYTHON [--check]: gRPC stubs from contract/protos into contract/generated.
# With --check nothing is written; it fails if the committed stubs are not what the protos say.
set -eu
python=$1
out=.
if [ "${2:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
"$python" -m grpc_tools.protoc -Icontract/generated=contract/protos \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" contract/generated/bestiary/v1/bestiary.proto
if [ "$out" != . ]; then
    for file in "$out"/contract/generated/bestiary/v1/*; do
        cmp "$file" "contract/generated/bestiary/v1/$(basename "$file")" ||
            { echo "contract/generated is not current: run make generate and commit." >&2; exit 1; }
    done
fi
