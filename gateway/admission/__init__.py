"""Who may come in, who waits, and who is told to come back later."""

from gateway.admission.door import Admission, Bounds, Place

__all__ = ["Admission", "Bounds", "Place"]
