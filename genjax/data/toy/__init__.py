"""Toy data whose density is known."""
