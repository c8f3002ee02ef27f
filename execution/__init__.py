"""One GraphQL operation: documents, limits, cost, context, errors."""
