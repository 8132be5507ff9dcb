"""Searches over subspaces of a few features (DeepTRE)."""
