"""Joins searches, checks and results into answers."""
