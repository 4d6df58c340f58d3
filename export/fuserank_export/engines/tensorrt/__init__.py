"""Builds and runs TensorRT engines."""
