#!/bin/sh
# The pipeline on this machine's NVIDIA GPU, and its bound; under ten minutes, no network. See docs/gpu.md.
#
#     benchmarks/gpu/run.sh [--wheels DIR] [options of `python -m benchmarks.gpu`]
#
# --wheels DIR   install what benchmarks/gpu/wheels.sh collected into an environment of its own (var/gpu-venv), on top of
#                the PyTorch that $PYTHON has; without it, $PYTHON runs the script as it is
# PYTHON         an interpreter that has PyTorch (default python3)
# Exit code: 0 measured, 1 something is missing or answers differ (one sentence says what), 124 after ten minutes.
set -eu

LIMIT_S=590
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=${PYTHON:-python3}
wheels=
if [ "${1:-}" = --wheels ]; then
    if [ ! -f "${2:-}/requirements.txt" ]; then
        echo "gpu: ${2:-nothing} is no folder of wheels: collect one with benchmarks/gpu/wheels.sh DIR." >&2
        exit 1
    fi
    wheels=$(CDPATH='' cd -- "$2" && pwd)
    shift 2
fi

started=$(date +%s)
if ! torch=$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent.parent)'); then
    echo "gpu: $python has no PyTorch: name an interpreter that has, as in PYTHON=/opt/conda/bin/python." >&2
    exit 1
fi
if [ -n "$wheels" ]; then
    venv=${GPU_VENV:-$root/var/gpu-venv}
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --find-links "$wheels" \
        -r "$wheels/requirements.txt" ml_dtypes typing_extensions
    if ls "$wheels"/onnxruntime_gpu-*.whl >/dev/null 2>&1; then # it has the CPU's provider too, under the same name
        "$venv/bin/pip" uninstall --quiet --disable-pip-version-check -y onnxruntime
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --find-links "$wheels" \
            onnxruntime-gpu
    fi
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # Last on the path, so that what was installed here comes first; Triton's own processes find both this way.
    printf '%s\n%s\n' "$root" "$torch" >"$site/zz_bestiary_gpu.pth"
    python=$venv/bin/python
fi
cd "$root"
exec timeout "$((LIMIT_S - $(date +%s) + started))" "$python" -m benchmarks.gpu "$@"
