"""The pipeline on a machine with an NVIDIA GPU, as one script: see docs/gpu.md and run.sh."""
