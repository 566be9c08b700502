"""What workers find out about the gallery: near-duplicates, mislabels, the map, figures for the dashboard."""
