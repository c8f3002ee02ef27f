"""The wheel works in an empty environment with each extra, and with nothing more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import smoke
from support.project import ROOT

pytestmark = pytest.mark.slow

COUNT = """
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker
from tallied.counters import Count, Counters

class Base(DeclarativeBase): ...

class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_count: Mapped[int] = mapped_column(server_default="0")

class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), index=True)
    customer: Mapped[Customer] = relationship()

counters = Counters(Count(Customer.order_count, via=Order.customer))
sessions = sessionmaker(create_engine("sqlite://"))
counters.install(sessions)
with sessions() as session:
    Base.metadata.create_all(session.connection())
    session.add(Order(customer=(customer := Customer())))
    session.commit()
    assert customer.order_count == 1
    assert list(counters.verify(session.connection())) == []
"""

PLUG_IN = """
import asyncio
from tallied.discussion import Discussion
from tallied.migrations.runner import migrate
from tallied.settings import Settings

discussion = Discussion("sqlite+aiosqlite:///forum.db", settings=Settings(guests="write"))
asyncio.run(migrate(discussion.database))
print(list(discussion.routes()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    return next(folder.iterdir())


class Environment:
    """An environment with the wheel and an extra, and a folder that its programs run in."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.folder = folder
        self.bin = folder / "env" / "bin"
        venv.create(folder / "env", symlinks=True, with_pip=True)
        target = f"{wheel}[{extra}]" if extra else str(wheel)
        self.run("python", "-m", "pip", "install", "-q", target)
        self.run("python", "-m", "pip", "check")

    def run(self, command: str, *arguments: str, code: int = 0) -> str:
        """Run a command of the environment, and return what it has printed."""
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        result = subprocess.run(
            [self.bin / command, *arguments],
            cwd=self.folder,
            env=environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stderr
        return result.stdout + result.stderr

    def distributions(self) -> set[str]:
        """Return the names of what is installed."""
        rows = json.loads(self.run("python", "-m", "pip", "list", "--format", "json"))
        return {row["name"].lower() for row in rows} - {"pip", "setuptools"}


def test_wheel_alone_counts_with_sqlalchemy_alone(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheel, "")
    assert environment.distributions() == {"sqlalchemy", "tallied", "typing_extensions"}
    environment.run("python", "-c", COUNT)
    assert 'pip install "tallied[app]"' in environment.run(
        "python", "-c", "import tallied.discussion", code=1
    )
    sentence = environment.run("tallied", "serve", code=2)
    assert sentence.startswith("error: The command tallied needs")
    assert 'pip install "tallied[server]"' in sentence


def test_wheel_with_app_plugs_into_application(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheel, "app")
    assert not environment.distributions() & {"aiosqlite", "asyncpg", "rich", "typer", "uvicorn"}
    sentence = environment.run("python", "-c", PLUG_IN, code=1)
    assert 'The database URL needs the extra "sqlite"' in sentence
    environment.run("python", "-m", "pip", "install", "-q", f"{wheel}[sqlite]")
    assert "WebSocketRoute" in environment.run("python", "-c", PLUG_IN)


def test_wheel_with_server_serves(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheel, "server")
    assert "asyncpg" not in environment.distributions()
    smoke.run([str(environment.bin / "tallied"), "serve", "--guests", "write"])
    sentence = environment.run("tallied", "migrate", "--database", "postgresql://a@b/c", code=2)
    assert 'pip install "tallied[postgresql]"' in sentence
