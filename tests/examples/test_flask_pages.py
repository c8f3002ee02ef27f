"""The example in Flask adds comments by a form, on its own synchronous session."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from tallied.models.counters import counters

PROGRAM = Path(__file__).parents[2] / "examples" / "flask_pages.py"


@pytest.mark.usefixtures("with_tables")
def test_form_adds_counted_comments(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = make_url(empty_url)
    driver = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg"
    sync_url = url.set(drivername=driver).render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", sync_url)
    names = runpy.run_path(str(PROGRAM))
    client = names["app"].test_client()
    location = client.get("/").location
    assert "0 comments, 0 words" in client.get(location).text
    for message in ("Tea, of course", "<b>Coffee</b> then"):
        sent = client.post(location, data={"name": "Ada", "message": message})
        assert (sent.status_code, sent.location) == (302, location)
    refused = client.post(location, data={"name": "Ada", "message": " "})
    assert refused.status_code == 422
    page = refused.text
    assert "2 comments, 5 words" in page
    assert 'role="alert"' in page
    assert "<b>Coffee" not in page
    with names["app"].app_context():
        names["db"].engine.dispose()
    engine = create_engine(sync_url)
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []
    engine.dispose()
