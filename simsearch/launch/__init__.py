"""Start programs of `make run`, servers and containers."""
