"""Networks that turn upright RGB pictures into embeddings of 4096 numbers."""
