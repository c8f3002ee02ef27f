"""Pages by keyset: orders, cursors, filters, and the arguments of a connection."""
