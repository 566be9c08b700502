"""Untrusted pictures decoded by confined processes."""
