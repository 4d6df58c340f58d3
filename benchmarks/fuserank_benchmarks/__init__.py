"""Speed: load on a running server, the machine's ceiling, and other stacks side by side.

Rooms, each of which may import those before it: inputs, load (with perf_analyzer), peers, speed and retrieval; the
command line `python -m fuserank_benchmarks` is above all.
"""
