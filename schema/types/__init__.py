"""The object types of the schema, one file a type."""

from .author import Author as Author
from .comment import Comment as Comment
from .thread import Thread as Thread
