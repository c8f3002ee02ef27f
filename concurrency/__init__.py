"""Fair turns on the event loop, and tasks that must end."""
