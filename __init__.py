"""Tallied: a pluggable discussion app for SQLAlchemy, served as a GraphQL API.

Threads, comments, and counters of them that are fresh, exact and cheap. Start
with :mod:`tallied.models.counters` (every cached number on one screen) and
:mod:`tallied.counters` (how they are kept).
"""

__version__ = "0.1.0"
