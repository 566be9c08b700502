"""Pages of the admin site about the gallery as a whole."""
