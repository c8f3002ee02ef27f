"""The progress of a long command, and the place where an interrupted one can continue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import URL

from ..database.messages import display_url
from ..errors import TalliedError
from ..migrations.revisions import State
from .output import Output


@contextmanager
def bar(out: Output, label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of the finished and the total number that updates a bar on standard error.

    The bar appears at the first call, so that an error before it stands alone. JSON has no bar, and
    neither has an output that is not a terminal.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task(label, total=None)

    def show(done: int, total: int) -> None:
        if out.is_json or not progress.console.is_terminal:
            return
        progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def resumable(out: Output) -> Iterator[Callable[[str], None]]:
    """Yield a function that notes the place; it is printed if the block is interrupted."""
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


def print_migration(out: Output, before: State, url: URL) -> None:
    """Print the result of a migration of the database at `url`, by its state before."""
    place = display_url(url)
    if before.is_newest:
        sentence = f"The database {place} is up to date (revision {before.current})."
    elif before.current is None:
        sentence = f"Created Tallied's tables in {place} (revision {before.newest})."
    else:
        sentence = f"Migrated {place} from revision {before.current} to {before.newest}."
    out.say(sentence, database=place, before=before.current, revision=before.newest)
