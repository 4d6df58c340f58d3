"""A package, so that pytest ends its servers with its last test."""
