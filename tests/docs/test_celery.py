"""docs/how-to/synchronous-code.md is correct: Celery's worker runs its task through Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, make_url, select
from sqlalchemy.orm import sessionmaker
from support.guides import find_program, read_block, replace_all, running
from support.server import free_port
from support.waiting import wait_until

from tallied.models import Comment, Thread
from tallied.models.counters import counters

COUNT = 3
SEND = f"import sys, tasks; [tasks.welcome.delay(sys.argv[1]) for _ in range({COUNT})]"


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_task_of_page_adds_counted_comments(empty_url: str, tmp_path: Path) -> None:
    redis, port = find_program("redis-server", "redis-server"), free_port()
    url = make_url(empty_url)
    driver = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg"
    sync_url = url.set(drivername=driver).render_as_string(hide_password=False)
    values = {"redis://localhost": f"redis://127.0.0.1:{port}", "sqlite:///forum.db": sync_url}
    (tmp_path / "tasks.py").write_text(
        replace_all(read_block("synchronous-code", "python", "Celery("), values)
    )
    engine = create_engine(sync_url)
    sessions = sessionmaker(engine)
    counters.install(sessions)
    with sessions.begin() as session:
        thread = Thread(title="Engines")
        session.add(thread)
        session.flush()
        id = thread.id
    celery = [sys.executable, "-m", "celery", "-A", "tasks"]
    worker = [*celery, "worker", "--concurrency", "2", "--loglevel", "INFO"]
    with (
        running([redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], tmp_path, port),
        running(worker, tmp_path) as log,
    ):
        subprocess.run([sys.executable, "-c", SEND, str(id)], cwd=tmp_path, check=True)
        wait_until(lambda: log.read_text().count("succeeded in") == COUNT)
    with sessions() as session:
        assert session.scalars(select(func.count(Comment.id))).one() == COUNT
        assert session.scalars(select(Thread.comment_count)).one() == COUNT
        assert list(counters.verify(session.connection())) == []
    engine.dispose()
