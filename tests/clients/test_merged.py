"""Relay's compiler on a host's schema with Tallied's merged in, under a prefix."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import strawberry

from tallied.execution.requested_fields import Info
from tallied.schema.build import merge_schemas
from tallied.schema.nodes import Node
from tallied.schema.printing import print_sdl

from .conftest import Programs


@strawberry.type
class Article(Node):
    title: str

    @classmethod
    async def load_nodes(cls, info: Info, keys: Sequence[str]) -> list[Article | None]:
        return [cls(id=cls.global_id(key), title=f"Article {key}") for key in keys]


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self) -> str:
        return "the host's own"

    @strawberry.field
    def article(self, key: str) -> Article:
        return Article(id=Article.global_id(key), title=f"Article {key}")


@pytest.mark.slow
def test_relay_compiler_accepts_merged_schema(programs: Programs) -> None:
    schema = merge_schemas(Query, prefix="Forum", rename={"viewer": "forumViewer"})
    folder = programs.folder / "merged"
    (folder / "schema.graphql").write_text(print_sdl(schema), "utf-8")
    (folder / "__generated__").mkdir()
    programs.tool("relay-compiler", "merged/relay.config.json")
    # Both refetch by node(id:), the host's fragment and Tallied's.
    for name, type_name in (("Comments", "ForumThread"), ("Article", "Article")):
        created = (folder / "__generated__" / f"documents{name}Query.graphql.ts").read_text("utf-8")
        assert "node(id: $id)" in created
        assert f"... on {type_name}" in created or f"documents_{name.lower()}" in created
