"""graphql-core's parser, without what a parsed document keeps alive for nothing.

A third of a document's objects and more are its lexical tokens, which refer to the next and the
previous one. Nobody reads them once it is parsed, but they stay as long as it is cached: each
search for garbage walks through them, and none is freed without such a search.
"""

from __future__ import annotations

from graphql import DocumentNode, Location, Token, TokenKind
from graphql import parse as parse_again
from graphql.language.parser import Parser

NO_TOKEN = Token(TokenKind.EOF, 0, 0, 0, 0)
"""What a node's location refers to instead of its tokens."""


def parse(text: str, *, max_tokens: int) -> DocumentNode:
    """Return a document, whose nodes know their places in the text but not their tokens.

    :param max_tokens: the most lexical tokens that it may have.
    :raises graphql.GraphQLSyntaxError: for a text that is not a document, or is nested too deeply.
    """
    parser = _CompactParser(text, max_lexical_tokens=max_tokens)
    try:
        return parser.parse_document()
    except RecursionError:
        pass
    finally:
        parser.free_tokens()
    # Where it becomes an error, with a message, is in the function of graphql-core.
    return parse_again(text, max_lexical_tokens=max_tokens)


class _CompactParser(Parser):
    def loc(self, start_token: Token) -> Location | None:
        """Return the place of a node in the text."""
        location = super().loc(start_token)
        if location is not None:
            location.start_token = location.end_token = NO_TOKEN
        return location

    def free_tokens(self) -> None:
        """Separate the tokens from each other, so that they need no search for garbage."""
        token: Token | None = self._lexer.token
        while token is not None and token.next is not None:
            token = token.next
        while token is not None:
            token.next, token.prev, token = None, None, token.prev
