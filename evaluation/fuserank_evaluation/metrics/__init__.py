"""Metrics of ranked lists, calibration and significance."""
