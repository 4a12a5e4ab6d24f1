"""Edges translate: bytes and metadata → service → reply. No decision is taken here."""
