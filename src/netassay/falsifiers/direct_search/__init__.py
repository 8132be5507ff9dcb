"""Derivative-free searches."""
