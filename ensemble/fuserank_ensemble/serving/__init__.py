"""Serving: the embedded Triton server, the adapter to Triton's Python API, lifecycle and observability."""
