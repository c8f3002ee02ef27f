"""The execution of one GraphQL operation: documents, limits, cost, context and errors."""
