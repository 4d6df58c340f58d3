"""Part of its package: files that start servers of their own."""
