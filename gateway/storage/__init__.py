"""Where photos and records are kept: journal, drain, result store and blob store, each behind its port."""
