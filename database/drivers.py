"""asyncpg, or stand-ins for its classes where the extra ``postgresql`` is not installed.

Nothing raises or creates a stand-in: :func:`.urls.parse_url` refuses the URLs that need asyncpg.
"""

from __future__ import annotations

from typing import Any

from ..extras import is_installed


class _Missing:
    def __getattr__(self, name: str) -> type[Exception]:
        return type(name, (Exception,), {})


asyncpg: Any = _Missing()
Transaction: Any = Exception

if is_installed("postgresql"):
    import asyncpg as asyncpg  # type: ignore[import-untyped, no-redef]
    from asyncpg.transaction import (  # type: ignore[import-untyped, no-redef]
        Transaction as Transaction,
    )
