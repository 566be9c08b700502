"""Index generations and embeddings as rows."""
