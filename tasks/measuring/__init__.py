"""Measure the search: evaluation, thresholds, altered copies."""
