#!/bin/sh
# Collects what benchmarks/gpu/run.sh needs on a machine that has an NVIDIA GPU and PyTorch and no network:
#
#     benchmarks/gpu/wheels.sh DIR [PYTHON_VERSION]
#
# Run it where packages can be downloaded, then take the repository and DIR there. PYTHON_VERSION (3.11 or 3.12) is that
# of the other machine; without it, the one that runs here. PYTHON: the interpreter (and pip) to use.
# Exit code: 0 collected, 1 something could not be downloaded, 2 wrong arguments.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: benchmarks/gpu/wheels.sh DIR [PYTHON_VERSION]" >&2
    exit 2
fi
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=${PYTHON:-python3}
mkdir -p "$1"
target=$(CDPATH='' cd -- "$1" && pwd)

set -- "${2:-}"
if [ -n "$1" ]; then
    version=$1
    set -- --python-version "$version" --implementation cp --abi "cp$(echo "$version" | tr -d .)" --abi abi3 --abi none
    for glibc in 35 34 31 28 27 26 24 17 12 5; do
        set -- "$@" --platform "manylinux_2_${glibc}_x86_64"
    done
    set -- "$@" --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64
else
    shift
fi
download() {
    "$python" -m pip download --quiet --disable-pip-version-check --only-binary :all: --dest "$target" "$@"
}

# The locked packages of the service, Triton's wheel among them; its onnxruntime computes what the answers are held to.
download --no-deps "$@" -r "$root/requirements/serve.txt"
# What reads ONNX files for PyTorch, and what builds TensorRT plans where TensorRT is.
download "$@" "onnx>=1.19,<2" "numpy<2" "polygraphy>=0.49.26,<1"
download --no-deps "$@" scikit-image # for its photo of a cat, which is measured where there are no --photos
runtime=$(sed -n 's/^onnxruntime==\([0-9.]*\).*/\1/p' "$root/requirements/serve.txt")
if ! download --no-deps "$@" "onnxruntime-gpu<=$runtime"; then
    echo "wheels: there is no onnxruntime-gpu up to $runtime for this Python; PyTorch's own engine will be measured." >&2
fi
# The lock without its hashes and conditions, which are checked here: what run.sh installs.
sed -n 's/^\([A-Za-z0-9_.-]*\(\[[a-z,]*\]\)\{0,1\}==[^ ;]*\).*/\1/p' "$root/requirements/serve.txt" >"$target/requirements.txt"
printf 'onnx\npolygraphy\nscikit-image\n' >>"$target/requirements.txt"
echo "$target: $(find "$target" -name '*.whl' | wc -l) wheels, $(du -sh "$target" | cut -f1)"
