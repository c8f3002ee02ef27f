"""The GraphQL API, and the only place that knows Strawberry.

``query``, ``mutation``, ``types`` and their neighbours say what the API is; ``build``
puts them together; ``selection`` and ``context`` turn what a client asks for into as
few statements as will do; ``documents``, ``execution``, ``reporting`` and ``http`` take
a request from its bytes to its answer. ``schema.graphql`` is all of it, printed.
"""
