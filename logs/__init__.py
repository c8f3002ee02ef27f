"""The log: errors without values, request ids, access lines, JSON."""
