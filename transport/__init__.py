"""GraphQL over HTTP and WebSocket: from bytes to an operation, and to the response."""

from ..extras import require

require("app", __name__)
