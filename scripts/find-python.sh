#!/bin/sh
# Print the first Python that can run Bestiary: 3.11 or 3.12 (the Triton wheel's stubs need numpy 1,
# which has no build for 3.13). Prints nothing if there is none; install.sh then says what to do.
for candidate in python3 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
done
