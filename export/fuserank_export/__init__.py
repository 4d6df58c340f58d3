"""Offline: a catalogue, its logs and models become a bundle, a complete Triton model repository."""

import os

# Threads that spin while they wait take the cores from whatever else this machine does, and from each other. The
# OpenMP library reads this when it is loaded, so it is set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
