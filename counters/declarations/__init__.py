"""What can be counted: counters, derived columns, and copied relations."""
