"""The magazine's GraphQL schema, with Tallied's merged in: one document asks for both."""

from __future__ import annotations

from datetime import date
from typing import Any

import strawberry

from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import BadUserInput, NotFound
from tallied.execution.requested_fields import Info
from tallied.host.access import Access
from tallied.schema.build import merge_schemas
from tallied.schema.payloads import Payload, mutation
from tallied.schema.types import Thread

from . import articles, queries

MAX_PAGE_SIZE = 100
MAX_ID = 2**31 - 1


@strawberry.type(description="An article of the magazine.")
class Article:
    id: strawberry.ID
    headline: str
    body: str
    author: str = strawberry.field(description="The name of the author.")
    published_on: date | None = strawberry.field(
        description="The date of publication. Null for a draft."
    )
    comment_count: int = strawberry.field(description="The number of comments on the article.")
    row: strawberry.Private[Any]

    @strawberry.field(description="The discussion of the article. Null if it has none yet.")
    async def thread(self, info: Info) -> Thread | None:
        if self.row.thread_id is None:
            return None
        # Tallied reads the columns that are asked for, for all articles in one statement.
        record = await info.context.load_thread(self.row.thread_id, info.columns("Thread"))
        return None if record is None else Thread.from_record(record)

    @classmethod
    def of(cls, row: Any) -> Article:
        """Return an article from its row."""
        return cls(
            id=strawberry.ID(str(row.id)),
            headline=row.headline,
            body=row.body,
            author=row.author,
            published_on=row.published_on,
            comment_count=row.comment_count,
            row=row,
        )


@strawberry.type
class Query:
    @strawberry.field(description="The viewer's drafts, and then the latest articles.")
    async def articles(self, info: Info, first: int = 20) -> list[Article]:
        if not 0 <= first <= MAX_PAGE_SIZE:
            raise BadUserInput(f"first must be from 0 to {MAX_PAGE_SIZE}.", field="first")
        viewer = info.context.viewer
        rows = await info.context.read(
            lambda connection: queries.articles(connection, viewer, first)
        )
        return [Article.of(row) for row in rows]

    @strawberry.field(description="Return an article by its id. Null if there is none.")
    async def article(self, info: Info, id: strawberry.ID) -> Article | None:
        return await _article(info, _key(id))


@strawberry.type(description="The payload of publishArticle.")
class PublishArticlePayload(Payload):
    article: Article | None = strawberry.field(
        default=None, description="The article. Null if the mutation was rejected."
    )


@strawberry.type
class Mutation:
    @mutation("Publish an article, and open its discussion.", PublishArticlePayload)
    async def publish_article(self, info: Info, id: strawberry.ID) -> PublishArticlePayload | None:
        key = _key(id)

        async def work(unit: UnitOfWork, access: Access) -> None:
            await articles.publish(unit, access, key)

        await info.context.write(work)
        row = await _article(info, key)
        if row is None:
            raise NotFound("The article was deleted by someone else.", field="id")
        return PublishArticlePayload(article=row)


async def _article(info: Info, key: int) -> Article | None:
    viewer = info.context.viewer
    row = await info.context.read(lambda connection: queries.article(connection, viewer, key))
    return None if row is None else Article.of(row)


def _key(id: str) -> int:
    if not (id.isascii() and id.isdigit() and len(id) < 11 and int(id) <= MAX_ID):
        raise BadUserInput("id must be the id of an article, such as 7.", field="id")
    return int(id)


schema = merge_schemas(Query, Mutation)
