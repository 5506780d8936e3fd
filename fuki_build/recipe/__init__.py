"""Recipes: what a user declares, and how it becomes an image."""
