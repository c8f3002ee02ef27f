"""What Tallied costs, measured beside other ways to do the same."""
