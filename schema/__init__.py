"""The definition of the GraphQL schema: ``types``, ``mutations``, ``query`` and their arguments.

``build`` puts the schema together, also with a host's. ``execution`` executes its operations, and
``schema.graphql`` is the schema in print.
"""

from ..extras import require

require("app", __name__)
