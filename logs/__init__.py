"""What is written to the log: errors without values, request ids, access lines, JSON."""
