"""What an answer is: sides with guarantees, witnesses, traces, JSON. Knows no engine; imports numpy only."""
