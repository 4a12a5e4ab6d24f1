"""The `bestiary` command. Its client commands speak the wire and import nothing of the service."""
