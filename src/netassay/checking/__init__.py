"""Independent checks: replays witnesses on the original model. Imports no search code."""
