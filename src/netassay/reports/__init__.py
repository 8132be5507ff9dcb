"""From answers to text, tables and the HTML report. Knows no search and no model: only results."""
