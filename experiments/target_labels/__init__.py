"""Experiments of the target-label paper (Wan et al. 2020), one command for Tables 2 to 4."""
