"""docs/how-to/synchronous-code.md is correct: its script runs with a plain scoped_session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import make_url
from support.guides import read_block, replace_all


def test_script_of_page_creates_tables_and_counts(empty_url: str, tmp_path: Path) -> None:
    url = make_url(empty_url)
    driver = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg"
    sync_url = url.set(drivername=driver).render_as_string(hide_password=False)
    block = read_block("synchronous-code", "python", "scoped_session(")
    (tmp_path / "forum.py").write_text(replace_all(block, {"sqlite:///forum.db": sync_url}))
    command = [sys.executable, "forum.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "To be read: Two words.\n2\n"
