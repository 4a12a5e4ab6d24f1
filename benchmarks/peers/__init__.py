"""Bestiary beside other servers of the same network: the same photos, rates that meet the same promise."""
