"""Folders of pictures on this machine's disk."""
