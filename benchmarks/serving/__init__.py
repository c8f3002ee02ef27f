"""A server as `tallied serve` starts it, and a bare route, under the same load."""
