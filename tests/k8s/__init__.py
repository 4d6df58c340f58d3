"""A package, so that pytest ends its replica with its last test."""
