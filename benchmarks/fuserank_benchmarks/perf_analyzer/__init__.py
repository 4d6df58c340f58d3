"""Load on a server, by NVIDIA's perf_analyzer."""
