"""Ground layer: norms, boxes, budgets, random generators. Imports numpy only."""
