"""Declarations of counters, derived columns, and copied relations."""
