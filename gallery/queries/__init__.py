"""The life of a query: accepted, waiting, claimed, finished."""
