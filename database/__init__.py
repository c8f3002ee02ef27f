"""The database: its engine, where rows are read, and the one place where they are written."""

from ..extras import require

require("app", __name__)

from .database import BUSY_TIMEOUT, CountedSession, Database
from .failures import BUSY, asks_for_retry, is_damaged, is_read_only
from .file import DatabaseFile, file_of
from .unit_of_work import UnitOfWork

__all__ = [
    "BUSY",
    "BUSY_TIMEOUT",
    "CountedSession",
    "Database",
    "DatabaseFile",
    "UnitOfWork",
    "asks_for_retry",
    "file_of",
    "is_damaged",
    "is_read_only",
]
