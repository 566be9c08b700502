"""The Celery tasks: they join the engine (pictures and vectors) with the gallery (rows)."""
