"""What a flush or a statement does to rows, and the counters that it changes."""
