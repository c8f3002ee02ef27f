"""What the engine remembers of a session: previews, savepoints, and locked rows."""
