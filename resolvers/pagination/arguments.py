"""The arguments of a Relay connection, and the page that they select.

The rules are those of the Relay cursor connections specification, section 4.3: the ``first`` or
the ``last`` of the rows between ``after`` and ``before``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement

from ...errors import BadUserInput
from ...models import Comment
from ...models.comment import is_listed, is_top_level
from .cursors import Order, Position
from .filters import CommentFilter, Filter

DEFAULT_SIZE = 20
"""The rows of a page without first and last, if as many are allowed."""

MAX_TREE = 2500
"""The most rows below one row that a statement reads in several levels."""

Record = Mapping[str, Any]
"""The requested columns of a row, by attribute name."""


class Window(NamedTuple):
    """A selection of rows: the first or last `size` of those between two positions."""

    order: Order
    size: int
    backward: bool = False
    after: Position | None = None
    before: Position | None = None
    filter: Filter | None = None
    read_condition: ColumnElement[bool] | None = None
    """The condition that a row must meet for the viewer."""
    top_level_only: bool = False
    """Whether replies are left out of the comments."""
    search: ColumnElement[bool] | None = None
    """The condition of a filter that no index finds, where it is not taken from the filter."""
    of_replies: bool = False
    """Whether the comments are the replies to one."""
    with_hidden: bool = False
    """Whether comments are among them that readers do not see; for moderators only."""

    def limit(self) -> Any:
        """Return the number of rows to read: one more, which shows whether there are more."""
        return self.size if isinstance(self.size, BindParameter) else self.size + 1

    def rows_of_tree(self, levels: int) -> int:
        """Return the number of rows to read, at most, of so many levels below one row."""
        rows, limit = 0, self.limit()
        for level in range(levels):
            rows += limit * self.size**level
        return rows

    def may_read_levels(self, levels: int) -> bool:
        """Return whether one statement may read so many levels of pages, the rows of each page
        being parents of the next."""
        has_cursors = self.after is not None or self.before is not None
        return not has_cursors and self.rows_of_tree(levels) <= MAX_TREE

    @property
    def needs_count(self) -> bool:
        """Whether the total of a parent's list is none of the parent's counters."""
        return bool(self.filter) or not (self.top_level_only or self.of_replies)

    def fixed_conditions(self, columns: Any) -> list[ColumnElement[bool]]:
        """Return the conditions of the list that have no values of a request.

        :param columns: those of the table, or of an alias of it.
        """
        if self.order.entity is not Comment:
            return []
        conditions = [is_top_level(columns)] if self.top_level_only else []
        return conditions if self.with_hidden else [*conditions, is_listed(columns)]

    @property
    def is_search(self) -> bool:
        """Whether the filter looks through rows in their order, of which it reads so many only."""
        return self.search is not None or bool(self.filter and self.filter.is_unindexed)

    def search_conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions for the rows that a search looks through."""
        if self.search is not None:
            return [self.search]
        return self.filter.conditions() if self.filter and self.is_search else []

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the other conditions of the request that a row must meet to be in the list."""
        conditions = self.filter.conditions() if self.filter and not self.is_search else []
        return conditions if self.read_condition is None else [*conditions, self.read_condition]


class RequestedFields(NamedTuple):
    """The parts of a page that a client requests; nothing else is read."""

    columns: frozenset[str] = frozenset()
    cursors: bool = False
    has_previous: bool = False
    has_next: bool = False

    def union(self, other: RequestedFields) -> RequestedFields:
        """Return the parts that one of two requests."""
        return RequestedFields(
            self.columns | other.columns,
            self.cursors or other.cursors,
            self.has_previous or other.has_previous,
            self.has_next or other.has_next,
        )


@dataclass
class RowPage:
    """The rows of a window in their order, with their cursors if they are requested."""

    rows: list[Record] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    has_previous: bool = False
    has_next: bool = False


class PageArguments(NamedTuple):
    """The arguments of a connection; without first and last, the first `DEFAULT_SIZE` rows."""

    first: int | None = None
    last: int | None = None
    after: str | None = None
    before: str | None = None

    def window(
        self,
        order: Order,
        limit: int,
        filter: Filter | None = None,
        read_condition: ColumnElement[bool] | None = None,
        *,
        of_replies: bool = False,
    ) -> Window:
        """Return the window that the arguments select, after checking them.

        :param limit: the maximum number of rows on a page.
        :param read_condition: the condition that a row must meet for the viewer.
        :param of_replies: whether the rows are the replies to a comment.
        :raises BadUserInput: naming the argument.
        """
        first, last, after, before = self
        if first is not None and last is not None:
            raise BadUserInput("Give first or last, not both.", field="last")
        if first is None and last is None:
            first = min(DEFAULT_SIZE, limit)
        name, size = ("last", last) if first is None else ("first", first)
        if not isinstance(size, int):
            raise BadUserInput(
                f"{name} must be a number from 1 to {limit}, not {size!r}.", field=name
            )
        if not 1 <= size <= limit:
            raise BadUserInput(f"{name} must be from 1 to {limit}, not {size}.", field=name)
        top_level_only = order.entity is Comment and not of_replies
        if isinstance(filter, CommentFilter):
            top_level_only = filter.top_level_only
        return Window(
            order,
            size,
            backward=first is None,
            after=None if after is None else order.decode(after, "after"),
            before=None if before is None else order.decode(before, "before"),
            filter=filter if filter and filter.conditions() else None,
            read_condition=read_condition,
            top_level_only=top_level_only,
            of_replies=of_replies,
            with_hidden=isinstance(filter, CommentFilter) and filter.with_hidden,
        )


SIZE_METADATA = "tallied.size"
"""The key of the metadata of an argument ``first`` for the default number of items."""
