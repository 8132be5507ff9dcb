"""Verifiers: proved bounds of a property over a whole region."""
