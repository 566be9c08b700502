"""What developers run: `make check`, `make audit`."""
