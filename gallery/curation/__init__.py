"""Pictures in and out of the gallery, and its index generations."""
