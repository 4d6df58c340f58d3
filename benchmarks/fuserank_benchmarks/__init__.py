"""Speed: load on a running server, the machine's ceiling, and other stacks side by side.

Layers, each of which imports only from those before it: inputs and perf_analyzer; load; peers and retrieval; demo;
speed and replica; the command line `python -m fuserank_benchmarks`.
"""
