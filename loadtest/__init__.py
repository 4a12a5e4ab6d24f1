"""Load tests that speak the wire only: open-loop arrivals, and a verdict against the objectives."""
