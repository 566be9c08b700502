"""Admin pages about the whole gallery."""
