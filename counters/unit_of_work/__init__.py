"""The changes of rows by a flush or a statement, and of the counters that follow."""
