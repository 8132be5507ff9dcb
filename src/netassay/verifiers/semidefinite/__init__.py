"""Semidefinite relaxations: bounds that see that the neurons' relaxations cannot all be loose at once."""
