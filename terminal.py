"""What a long command shows while it works, and how it says where to go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import URL

from .errors import TalliedError
from .migrations.run import State
from .opening import place


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, as a callable that takes what is done and the total.

    It appears with the first call, so that what fails before then says just why.
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
        shown.start()
        shown.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if shown.live.is_started:
            shown.stop()


@contextmanager
def resumable() -> Iterator[Callable[[str], None]]:
    """Say where to go on when the block is cut short; it takes how far the work has come."""
    reached: list[str] = []
    try:
        yield lambda place: reached.__setitem__(slice(None), [place])
    except (KeyboardInterrupt, TalliedError) as error:
        if reached:
            print(f"Stopped; go on with the same command and --after {reached[0]}", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(130) from error
        raise


def say_migrated(before: State, url: URL) -> None:
    """What came of it, by where the database at that address stood before."""
    where = place(url)
    if before.is_newest:
        print(f"The database {where} is up to date (revision {before.current}).")
    elif before.current is None:
        print(f"Created Tallied's tables in {where} (revision {before.newest}).")
    else:
        print(f"Migrated {where} from revision {before.current} to {before.newest}.")
