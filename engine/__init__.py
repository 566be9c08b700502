"""Pictures and vectors: decoding, networks and the index. No Django, no Celery, no settings."""
