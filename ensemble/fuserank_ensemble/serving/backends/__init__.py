"""Backends of the embedded server. Production uses Triton's own C++ backends with the same configs."""
