"""The counters of one application: resolved, checked, and where they are installed."""
