"""Offline: a catalogue, its logs and models become a bundle, a complete Triton model repository."""
