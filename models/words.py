"""How the words of a message are counted."""

from __future__ import annotations


def count_words(message: str) -> int:
    """Return the number of words in `message`: ``len(message.split())``.

    Words are what Unicode whitespace separates, so "one  two" has two, and a text
    that is written without spaces, as Chinese is, counts as one word a run. A host
    that wants another rule assigns its own function to
    :attr:`tallied.models.Comment.count_words`.
    """
    return len(message.split())
