"""Triton as the model server."""
