"""Bounds of every value of a graph over a region, by propagation: intervals, and linear bounds by back-substitution."""
