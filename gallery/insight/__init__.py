"""Results of analyses: near-duplicates, wrong labels, the map, figures for the dashboard."""
