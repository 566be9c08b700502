"""Find similar pictures in the active generation and the delta."""
