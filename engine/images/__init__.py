"""Untrusted bytes become upright RGB pictures."""
