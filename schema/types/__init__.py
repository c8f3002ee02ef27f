"""The object types of the schema, one file a type."""

from __future__ import annotations

from collections.abc import Mapping

from .author import Author as Author
from .comment import Comment as Comment
from .thread import Thread as Thread

ROWS: Mapping[str, type[Thread | Comment | Author]] = {
    "Thread": Thread,
    "Comment": Comment,
    "Author": Author,
}
"""The types that stand for rows, by the names in their global ids."""
