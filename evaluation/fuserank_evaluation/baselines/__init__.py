"""Ranking methods that the ranker is compared with: one file each."""
