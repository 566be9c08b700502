"""Benchmarks: each figure stands beside that of the alternative that people would use instead."""
