"""Load on a running server: perf_analyzer's sweeps, open loops, and interleaved rounds."""
