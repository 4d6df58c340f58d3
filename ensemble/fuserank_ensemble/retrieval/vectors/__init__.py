"""Nearest-neighbour search over vectors, on CPU and GPU."""
