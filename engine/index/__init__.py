"""Index generations: built, checked, opened and searched. PCA, then Annoy for candidates, then exact cosines."""
