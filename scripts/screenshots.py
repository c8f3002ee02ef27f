"""Take the pictures of the README: python scripts/screenshots.py [playground] [magazine]

Each is made by a real Chromium from a server that runs in an empty folder, and saved in
``docs/images/``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "tests"))

from smoke import free_port, wait_for  # noqa: E402
from support.browser import Browser, Page  # noqa: E402

EXECUTE = "document.querySelector('.graphiql-execute-button').click() || true"
RESPONSE = "document.querySelector('.graphiql-response .CodeMirror').CodeMirror.getValue()"


async def show_playground(page: Page, host: str) -> None:
    await page.open(f"http://{host}/graphql", 1280, 720)
    await page.wait("!!document.querySelector('.graphiql-query-editor .CodeMirror')")
    await page.run("document.querySelectorAll('.graphiql-tab-button')[1].click()")
    await page.wait(EXECUTE)
    await page.wait(f"{RESPONSE}.includes('wordCount')")


async def show_magazine(page: Page, host: str) -> None:
    await page.open(f"http://{host}/articles/1", 1280, 900)
    await page.wait("document.readyState === 'complete' && !!document.querySelector('main')")


COMMANDS = {
    "playground": (
        "tallied migrate",
        "tallied seed --threads 200 --comments 4000",
        "tallied serve --guests write",
    ),
    "magazine": ("magazine",),
}
"""Those before the last one end; the last one serves."""

PICTURES = {"playground": show_playground, "magazine": show_magazine}


@contextmanager
def serving(name: str, folder: Path) -> Iterator[str]:
    """Run the server of a picture in `folder`, and yield its host and port."""
    port = free_port()
    database = f"sqlite+aiosqlite:///{folder / 'pictures.db'}"
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "examples"),
        "TALLIED_DATABASE": database,
        "TALLIED_ENVIRONMENT": "development",
        "MAGAZINE_DATABASE": database,
        "MAGAZINE_FOLDER": str(folder),
    }
    commands = [[sys.executable, "-m", *command.split()] for command in COMMANDS[name]]
    for command in commands[:-1]:
        subprocess.run(command, env=environ, cwd=folder, check=True, capture_output=True)
    command = [*commands[-1], "--port", str(port)]
    process = subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


async def take(name: str) -> None:
    """Save the picture of that name."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as profile,
        serving(name, Path(folder)) as host,
        Browser(Path(profile)) as browser,
    ):
        async with browser.open() as page:
            await PICTURES[name](page, host)
            await asyncio.sleep(1)  # for what fades in
            IMAGES.mkdir(exist_ok=True)
            await page.screenshot(IMAGES / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the README.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    for name in parser.parse_args().names or PICTURES:
        asyncio.run(take(name))


if __name__ == "__main__":
    main()
