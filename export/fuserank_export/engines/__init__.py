"""Engines of a bundle in every precision that ranks as FP32 does."""
