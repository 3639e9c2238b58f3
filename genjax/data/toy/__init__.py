"""Toy data with known density."""
