"""What is asked: regions, properties s(x), the risk table, problems, data sets. Works on numpy and torch arrays, imports numpy only."""
