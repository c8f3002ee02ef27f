"""The execution of one GraphQL operation: documents, limits, cost, context and errors."""

from ..extras import require

require("app", __name__)
