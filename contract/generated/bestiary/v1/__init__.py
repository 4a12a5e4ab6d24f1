"""Generated from contract/protos by `make generate`; not to be edited."""
