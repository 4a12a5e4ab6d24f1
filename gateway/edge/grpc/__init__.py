"""gRPC: bestiary.v1, KServe v2, health, reflection."""
