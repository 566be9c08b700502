"""Analyses of the whole gallery, run by a gallery worker."""
