"""GraphQL over HTTP and WebSocket: from bytes to an operation, and to the response."""
