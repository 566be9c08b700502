"""The Django app: models, queries, pages, API and admin. Never imports torch, numpy or annoy."""
