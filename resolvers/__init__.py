"""The operations of Tallied as plain async functions, which know nothing of GraphQL and HTTP.

Queries take a connection and the requested columns, and return rows. Changes take a unit of work.
"""

from ..extras import require

require("app", __name__)
