"""After a decision: its record, its status, its explanation, and replay."""
