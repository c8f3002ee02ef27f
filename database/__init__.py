"""The database: its engine, where rows are read, and the one place where they are written."""

from ..units import UnitOfWork
from .database import BUSY_TIMEOUT, CountedSession, Database
from .failures import BUSY, asks_for_retry

__all__ = ["BUSY", "BUSY_TIMEOUT", "CountedSession", "Database", "UnitOfWork", "asks_for_retry"]
