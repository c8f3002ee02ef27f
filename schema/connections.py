"""Relay connections: pages of objects, with their cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import strawberry
from strawberry.relay import PageInfo

from ..resolvers.pagination.arguments import Record, RowPage
from ..resolvers.pagination.statements import MAX_COUNT
from .scalars import SafeInt

T = TypeVar("T")


@strawberry.type(description="An item of a page, with its position in the list.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The item's position in this order, as an opaque string. Pass it as after or "
        "before."
    )
    node: T = strawberry.field(description="The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The items, each with its cursor.")
    nodes: list[T] = strawberry.field(description="The items without cursors.")
    page_info: PageInfo = strawberry.field(description="The page's position in the list.")
    total_count: SafeInt = strawberry.field(
        description="The number of items in the whole list. It takes account of filterBy, but "
        "not of first, last, after and before. Threads, and what a filter lets through, are "
        f"counted to {MAX_COUNT}: that number means as many or more."
    )

    @classmethod
    def from_page(
        cls, page: RowPage, total_count: int | None, wrap: Callable[[Record], T]
    ) -> Connection[T]:
        """Return a connection of a page that was read; what was not requested is left empty."""
        nodes = [wrap(row) for row in page.rows]
        cursors = page.cursors or [""] * len(nodes)
        ends = (page.cursors[0], page.cursors[-1]) if page.cursors else (None, None)
        return cls(
            edges=[
                Edge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)
            ],
            nodes=nodes,
            page_info=PageInfo(
                start_cursor=ends[0],
                end_cursor=ends[1],
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
            ),
            total_count=SafeInt(total_count or 0),
        )
