"""Rounding of float32 evaluations: what each operator of the graph adds to it, over whole boxes."""
