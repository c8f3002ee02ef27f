"""What pages of threads of 1,000, 100,000 and 1,000,000 comments cost: trees, a queue and a feed.

    python -m benchmarks.trees [--quick] [--database sqlite|postgresql|both]

Each page is one operation that a plan executes, from its document to the bytes of its response,
without HTTP; a feed is what a function for hosts reads. The threads take turns. Printed is the time
in each thread as a ratio to the smallest: 1.0 is a cost that does not grow with the thread.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from sqlalchemy import text

from tallied.database import Database
from tallied.execution.executor import BY_POST, Request
from tallied.host.access import Access, HostRules
from tallied.migrations.runner import migrate
from tallied.resolvers import views
from tallied.schema.build import schema
from tallied.schema.ids import encode_id
from tallied.settings import Settings
from tallied.transport.service import Service

from .databases import BACKENDS, blocking_engine, fresh_database, markdown_table, selected_backends
from .reply_trees import StoredTree, store_tree
from .timing import interleave, lower_quartile

FIELDS = "id message createdAt authorName replyCount"
LEVELS = f"""nodes {{ {FIELDS} replies(first: 3) {{ nodes {{ {FIELDS}
  replies(first: 3) {{ nodes {{ {FIELDS} }} }} }} }} }} pageInfo {{ hasNextPage endCursor }}"""
VARIABLES = "$thread: ID!, $comment: ID!, $deepest: ID!"
PAGES = {
    "a page of a tree": f"thread(id: $thread) {{ comments(first: 20) {{ {LEVELS} }} }}",
    "the last page of a tree": f"thread(id: $thread) {{ comments(last: 20) {{ {LEVELS} }} }}",
    "replies of a comment": f"""comment(id: $comment) {{ replies(first: 50) {{ totalCount
        nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}""",
    "around a comment": f"""thread(id: $thread) {{ around(commentId: $comment, siblings: 10) {{
        siblings {{ {LEVELS} }} }} }}""",
    "around the deepest reply": f"""thread(id: $thread) {{ around(commentId: $deepest) {{
        ancestors {{ {FIELDS} }} siblings {{ nodes {{ {FIELDS} }} }} }} }}""",
    "ancestors of the deepest": f"""comment(id: $deepest) {{ {FIELDS}
        ancestors {{ {FIELDS} }} }}""",
}
QUEUE = {
    "the queue of moderators": f"""moderationQueue(first: 20, filterBy: {{ threadId: $thread }}) {{
        nodes {{ {FIELDS} flagCount }} pageInfo {{ hasNextPage endCursor }} }}""",
}
LATEST = "the feed of a thread"
"""The comments that a function for hosts reads."""


class Scale(NamedTuple):
    """How large the threads are, and how often each page is read."""

    sizes: tuple[int, ...] = (900, 90_000, 900_000)
    """Those of the trees, beside which a thread has a tenth more."""
    rounds: int = 60


QUICK = Scale((900, 9_000, 90_000), 20)
console = Console(width=100)


def document(page: str) -> str:
    """Return the document of a page, which declares the variables that it uses."""
    variables = [part for part in VARIABLES.split(", ") if part.partition(":")[0] in page]
    return f"query({', '.join(variables)}) {{ {page} }}"


async def measure(
    database: Database, trees: Mapping[int, StoredTree], scale: Scale
) -> dict[tuple[str, int], float]:
    """Return the seconds of each page in each thread."""
    settings = Settings(guests="moderate")
    rules = HostRules.from_settings(settings)
    service = Service(database, settings, rules, lambda _: None, schema)

    async def read(name: str, tree: StoredTree) -> None:
        variables = {
            "thread": encode_id("Thread", tree.thread),
            "comment": encode_id("Comment", tree.answered),
            "deepest": encode_id("Comment", tree.deepest),
        }
        context = service.context()
        work = service._run(Request(document((PAGES | QUEUE)[name]), variables), context, BY_POST)
        response, content = await service._limit(context, work)  # type: ignore[misc]
        assert response.status == 200, content
        assert b'"errors"' not in content, content

    def reader(name: str, size: int) -> Any:
        return lambda _: read(name, trees[size])

    async def read_latest(tree: StoredTree) -> None:
        async with database.read() as connection:
            access, thread = Access(rules), tree.thread
            await views.read_latest_comments(connection, access, thread_id=thread, first=50)

    candidates = {(name, size): reader(name, size) for name in PAGES | QUEUE for size in trees}
    candidates |= {
        (LATEST, size): lambda _, tree=tree: read_latest(tree) for size, tree in trees.items()
    }
    taken = await interleave(candidates, scale.rounds, budget=60)
    return {key: lower_quartile(seconds) for key, seconds in taken.items()}


def show(backend: str, results: Mapping[tuple[str, int], float], scale: Scale) -> None:
    """Print the ratios."""
    smallest, *larger = scale.sizes
    columns = [f"{size + size // 10:,}" for size in larger]
    first = f"{smallest + smallest // 10:,} comments"
    table = markdown_table(BACKENDS[backend], "page", first, *columns)
    for name in (*PAGES, *QUEUE, LATEST):
        base = results[name, smallest]
        ratios = [f"{results[name, size] / base:.2f}" for size in larger]
        table.add_row(name, f"{base * 1000:.1f} ms", *ratios)
    console.print(table)


def main(
    quick: Annotated[bool, typer.Option(help="Smaller threads, fewer rounds.")] = False,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
) -> None:
    """Print what pages of trees cost in large threads, as ratios to a small one."""
    scale = QUICK if quick else Scale()
    for backend in selected_backends(database):
        with fresh_database(backend, in_memory=True) as url:
            asyncio.run(compare(backend, url, scale))


async def compare(backend: str, url: str, scale: Scale) -> None:
    """Store the threads in an empty database, and print the ratios."""
    database = Database(url)
    await migrate(database)
    engine = blocking_engine(url)
    with console.status(f"{BACKENDS[backend]}: storing threads"):
        with engine.begin() as connection:
            trees = {
                size: store_tree(connection, size, number)
                for number, size in enumerate(scale.sizes, 1)
            }
        with engine.connect() as connection:
            connection.execute(text("ANALYZE"))
            connection.commit()
    engine.dispose()
    gc.freeze()
    show(backend, await measure(database, trees, scale), scale)
    await database.dispose()


if __name__ == "__main__":
    typer.run(main)
