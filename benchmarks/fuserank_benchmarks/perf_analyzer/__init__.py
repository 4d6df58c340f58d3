"""Measures a server under load with NVIDIA's perf_analyzer."""
