"""Developers' commands: `make check` and `make audit`."""
