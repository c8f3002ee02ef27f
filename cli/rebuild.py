"""``tallied rebuild``: recount, and correct wrong counters."""

from __future__ import annotations

from typing import Annotated

import typer

from . import maintenance
from .options import App, Conditions, CounterNames, DatabaseURL, Format
from .output import Output
from .progress import bar, resumable
from .runner import run


def rebuild(
    counters: CounterNames = None,
    database: DatabaseURL = None,
    app: App = None,
    where: Conditions = None,
    amounts: Annotated[
        bool,
        typer.Option(
            "--amounts", help="First correct derived columns, such as the words of comments."
        ),
    ] = False,
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Continue after the ID that an earlier run has reached."),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, metavar="N", help="How many rows one transaction locks at most."
        ),
    ] = 1000,
    form: Format = "text",
) -> None:
    """Recount, and correct wrong counters.

    Other clients can write meanwhile: each batch is a short transaction of its own.
    If you interrupt the command, it prints how to continue.
    """
    out = Output(form)
    with bar(out, "Rebuilding counters") as show, resumable(out) as note:

        def progress(place: str, done: int, total: int) -> None:
            note(place)
            show(done, total)

        result = run(
            lambda connected, engine: maintenance.rebuild(
                connected,
                only=counters or (),
                where=where or (),
                after=after,
                with_amounts=amounts,
                batch_size=batch_size,
                progress=progress,
                counters=engine,
            ),
            database,
            app,
            must_exist=True,
            warn=out.warn,
        )
    out.say(str(result), rows=result.rows, amounts=result.amounts)
