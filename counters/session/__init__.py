"""The state of a session: previews, savepoints, and locked rows."""
