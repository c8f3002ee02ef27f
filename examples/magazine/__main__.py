"""``python -m magazine``: set the database up, fill it in if it is empty, and serve it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import uvicorn

from tallied.errors import TalliedError

from .app import create_app
from .config import Config, ConfigError, read_or_create
from .demo import PEOPLE, fill
from .discussion import make_discussion, make_engine
from .setup import set_up

HOST = "127.0.0.1"


async def prepare(config: Config, password: str) -> None:
    """Prepare the database for the server."""
    engine = make_engine(config.database)
    discussion = make_discussion(engine)
    try:
        await set_up(discussion)
        await fill(discussion, password)
    finally:
        await engine.dispose()


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="magazine", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8001, help="by default 8001")
    port = parser.parse_args().port
    try:
        config = Config.from_environ(os.environ)
        password = read_or_create(config.folder / "password")
        asyncio.run(prepare(config, password))
    except (ConfigError, TalliedError, OSError) as error:
        print(f"magazine: {error}", file=sys.stderr)
        return 1
    names = ", ".join(PEOPLE)
    print(f"The magazine is at http://{HOST}:{port}; sign in as one of {names}, with {password}")
    print(f"(they and the articles are there as long as {config.folder} is).", flush=True)
    uvicorn.run(create_app(config), host=HOST, port=port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
