"""What a long command shows while it works, and how it says where to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import URL

from ..errors import TalliedError
from ..migrations.opening import place
from ..migrations.run import State
from .output import Output


@contextmanager
def bar(out: Output, label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, as a callable that takes what is done and the total.

    It appears with the first call, so that what fails before then says just why; programs get none.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = Progress(*columns, console=Console(stderr=True))
    task = shown.add_task(label, total=None)

    def show(done: int, total: int) -> None:
        if out.is_json:
            return
        shown.start()
        shown.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if shown.live.is_started:
            shown.stop()


@contextmanager
def resumable(out: Output) -> Iterator[Callable[[str], None]]:
    """Say where to go on when the block is cut short; it takes how far the work has come."""
    reached: list[str] = []
    try:
        yield lambda place: reached.__setitem__(slice(None), [place])
    except (KeyboardInterrupt, TalliedError) as error:
        if reached:
            sentence = f"Stopped; go on with the same command and --after {reached[0]}"
            out.warn(sentence, after=reached[0])
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(130) from error
        raise


def say_migrated(out: Output, before: State, url: URL) -> None:
    """Print what has come of a migration, by where the database at that address stood before."""
    where = place(url)
    if before.is_newest:
        sentence = f"The database {where} is up to date (revision {before.current})."
    elif before.current is None:
        sentence = f"Created Tallied's tables in {where} (revision {before.newest})."
    else:
        sentence = f"Migrated {where} from revision {before.current} to {before.newest}."
    out.say(sentence, database=where, before=before.current, revision=before.newest)
