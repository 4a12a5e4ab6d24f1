"""Python-based Triton backends that answer to the names of NVIDIA's native ones."""
