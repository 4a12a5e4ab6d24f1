"""A checkpoint in, a release in Triton's model repository out."""
