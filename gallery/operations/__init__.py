"""Health, metrics, backup and pruning."""
