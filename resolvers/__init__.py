"""What Tallied does, as plain async functions.

Queries take a connection and the columns asked for, and return rows; commands take
the session of a unit of work. Nothing here knows of GraphQL or HTTP.
"""
