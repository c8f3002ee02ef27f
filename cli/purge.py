"""``tallied purge``: delete the texts of deleted comments that cannot be restored any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from ..counters import Counters
from ..database import Database
from ..models.base import now
from ..resolvers.purge import purge_quotas, purge_texts
from .applications import load_discussion
from .options import App, DatabaseURL, Format
from .output import Output
from .progress import bar
from .runner import read_settings, run


def purge(
    database: DatabaseURL = None,
    app: App = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=3650,
            metavar="N",
            help="Delete the texts of comments that were deleted so many days ago. "
            "[default: $TALLIED_RESTORE_DAYS, or 30]",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, metavar="N", help="How many texts one transaction deletes at most."
        ),
    ] = 1000,
    form: Format = "text",
) -> None:
    """Delete the texts of deleted comments that cannot be restored any more.

    A deleted comment with replies stays in lists, without its text, which is kept for a time. Run
    this once a day; it also deletes old quotas of comments. Other clients can write meanwhile: each
    batch is a short transaction.
    """
    out = Output(form)
    if days is None:
        settings = load_discussion(app, database).settings if app else read_settings()
        days = settings.restore_days
    before = now() - timedelta(days=days)
    with bar(out, "Purging texts") as progress:

        async def work(opened: Database, _: Counters) -> int:
            await purge_quotas(opened, batch_size=batch_size)
            return await purge_texts(opened, before, batch_size=batch_size, progress=progress)

        number = run(work, database, app, must_exist=True, warn=out.warn)
    plural = "" if number == 1 else "s"
    out.say(f"Purged {number:,} text{plural} of deleted comments.", purged=number)
