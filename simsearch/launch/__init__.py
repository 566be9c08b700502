"""`make run`, `make test` and `make check`: everything of one machine under one roof."""
