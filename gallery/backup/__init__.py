"""Back up a gallery to one file, and restore it."""
