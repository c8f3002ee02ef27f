"""The GraphQL API, and the only place that knows Strawberry."""
