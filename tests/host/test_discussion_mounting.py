"""Applications that a Discussion cannot be mounted in, and the addresses of its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Router

from tallied import documentation
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError

pytestmark = pytest.mark.sqlite


@pytest.mark.parametrize("app", [APIRouter(), Router(), FastAPI, None, "app"])
def test_unsupported_application_is_refused(database: Database, app: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'discussion\.install\(app, "/discussion"\)\.$'):
        Discussion(database).install(app)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
async def test_mounted_discussion_names_right_way(database: Database, kind: Any) -> None:
    app = kind()
    app.mount("/d", Discussion(database))
    for transport in (httpx.ASGITransport(app), httpx.ASGITransport(Mount("/d", app=app))):
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            with pytest.raises(ConfigurationError, match=r"cannot be mounted .*install\(app, "):
                await client.get("/d/graphql" if transport.app is app else "/d/d/graphql")


def test_page_is_named_by_its_address_without_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert documentation.find_page("reference/checks") == "docs/reference/checks.md"
    monkeypatch.setattr(documentation, "ROOT", tmp_path)
    assert documentation.find_page("reference/checks", "e001") == (
        "https://docs.tallied.example/reference/checks/#e001"
    )
