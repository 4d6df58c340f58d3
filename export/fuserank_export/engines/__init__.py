"""Makes a bundle's engines in other precisions, and keeps those that rank as FP32 does."""
