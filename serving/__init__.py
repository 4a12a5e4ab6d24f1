"""Starts and watches Triton: our backends, our models' code, the supervisor."""
