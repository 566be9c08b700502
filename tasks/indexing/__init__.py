"""Embed pictures, build index generations, change the model."""
