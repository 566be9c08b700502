"""The Celery tasks, which join the engine (pictures and vectors) with the gallery (rows)."""
