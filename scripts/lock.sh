#!/bin/sh
# Locks from pyproject.toml: exact versions and hashes, no download address. Needs uv.
set -eu
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
        --no-emit-find-links --generate-hashes "$@"
}
compile pyproject.toml scripts/build.in --extra serve --output-file requirements/serve.txt
compile pyproject.toml scripts/build.in --extra dev --constraint requirements/serve.txt --output-file requirements/dev.txt
