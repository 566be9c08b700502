"""Rows and people: the gallery, the queries, the pages. Never imports torch, numpy or annoy."""
