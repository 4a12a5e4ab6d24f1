"""Traces (OpenTelemetry). The SDK is loaded by ``tracer`` alone, and that only where traces are sent somewhere."""
