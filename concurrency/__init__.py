"""Fair scheduling on the event loop, and tasks that must finish."""
