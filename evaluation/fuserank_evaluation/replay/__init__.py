"""A log is replayed to a living shop."""
