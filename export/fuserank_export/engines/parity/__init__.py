"""Compares an engine with the FP32 one: its outputs, layers, ranking and speed."""
