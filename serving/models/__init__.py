"""Code of the Python models. Runs inside Triton's stub processes; ``model_repository`` only points here."""
