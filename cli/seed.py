"""``tallied seed``: add demo threads and comments."""

from __future__ import annotations

from typing import Annotated

import typer

from ..counters import Counters
from ..database import Database
from ..migrations.runner import migrate as migrate_database
from ..seed import count_threads
from ..seed import seed as write_demo_data
from .options import DatabaseURL, Format
from .output import Output
from .progress import bar, print_migration
from .runner import run


def seed(
    database: DatabaseURL = None,
    threads: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="N", help="How many threads to add.")
    ] = 1000,
    comments: Annotated[
        int, typer.Option(min=0, max=100_000_000, metavar="N", help="How many comments to add.")
    ] = 100_000,
    random_seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same number produces the same texts and sizes."),
    ] = None,
    form: Format = "text",
) -> None:
    """Add demo threads and comments.

    The texts are in several languages and scripts. Existing rows stay. You can interrupt
    the command: each batch is a transaction, after which the counters are exact.
    """

    out = Output(form)

    async def work(opened: Database, _: Counters) -> None:
        print_migration(out, await migrate_database(opened), opened.url)
        if await count_threads(opened):
            out.say("The database has threads already; the new ones are added to them.")
        with bar(out, "Writing demo data") as progress:
            await write_demo_data(
                opened,
                threads=threads,
                comments=comments,
                random_seed=random_seed,
                progress=progress,
            )

    run(work, database, warn=out.warn)
    sentence = f"Added {threads:,} threads and {comments:,} comments."
    out.say(sentence, threads=threads, comments=comments)
