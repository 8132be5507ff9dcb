"""Searches for the attained side: each method one file behind the small interface of ``base``."""
