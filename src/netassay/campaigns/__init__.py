"""Questions about many inputs: split into jobs, worked off by one machine or many, kept in a store, taken up again."""
