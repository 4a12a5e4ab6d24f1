"""From the bytes of a photo to what its header says and to pixels. Imports only ``contract``."""
