"""The SQL statements of the engine: recount, update, and read rows."""
