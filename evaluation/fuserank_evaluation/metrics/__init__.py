"""Metrics of ranked lists, calibration of probabilities, and tests of significance."""
