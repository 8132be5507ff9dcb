"""What is asked: regions, properties s(x), the risk table, problems and data sets. Evaluates on numpy or torch arrays, imports numpy only."""
