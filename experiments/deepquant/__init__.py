"""The tables and figures of the DeepQuant paper, measured again: one module for each."""
