"""``tallied migrate``: create the tables, or bring them up to date."""

from __future__ import annotations

from ..counters import Counters
from ..database import Database
from ..migrations.runner import migrate as migrate_database
from .options import App, DatabaseURL, Format
from .output import Output
from .progress import print_migration
from .runner import run


def migrate(database: DatabaseURL = None, app: App = None, form: Format = "text") -> None:
    """Create Tallied's tables, or bring them up to date.

    If they are up to date, nothing happens. Several processes may run it at once.
    """
    out = Output(form)

    async def work(opened: Database, _: Counters) -> None:
        print_migration(out, await migrate_database(opened), opened.url)

    run(work, database, app, warn=out.warn)
