"""Data sets with known answers."""
