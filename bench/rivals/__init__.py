"""What a user would build or find instead, each as lean as it gets: no rows, no pages, nothing is kept.

Each is a process of its own, `python -m bench.rivals.<name> …`; `bench.rivals.clients` talks to them.
"""
