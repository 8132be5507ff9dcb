"""Proofs over L0 balls, which do not list all subsets of changed features."""
