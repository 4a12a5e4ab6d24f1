"""What is stored, in the formats of the field's tools: one file a format. Imports only ``contract``."""
