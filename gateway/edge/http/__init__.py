"""HTTP: REST, KServe v2, health, metrics, documentation."""
