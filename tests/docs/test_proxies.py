"""docs/how-to/deployment.md is correct: nginx and Caddy pass on what Tallied needs."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from support.guides import find_program, read_block, replace_all, running
from support.server import Server, free_port
from support.sockets import opened
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.sqlite

NGINX = """
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""
"""What Debian has around the files of sites, with every path in a folder of the test's."""

CADDY = "{\n\tadmin off\n\tauto_https off\n}\n"
Proxy: TypeAlias = Callable[[Path, dict[str, str], int], AbstractContextManager[Path]]
START = 'mutation { createThread(input: {title: "Engines"}) { thread { title } } }'


@contextmanager
def nginx(folder: Path, values: dict[str, str], port: int) -> Iterator[Path]:
    """Run nginx with the configuration of the guide."""
    command = find_program("nginx", "nginx-light")
    servers = replace_all(read_block("deployment", "nginx"), {"listen 80": f"listen {port}"})
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX.format(folder=folder, user=getpass.getuser(), servers=replace_all(servers, values))
    )
    log_file = folder / "error.log"  # and not root's, until the configuration is read
    with running([command, "-p", folder, "-e", log_file, "-c", configuration], folder, port) as log:
        yield log


@contextmanager
def caddy(folder: Path, values: dict[str, str], port: int) -> Iterator[Path]:
    """Run Caddy with the configuration of the guide, without a certificate."""
    command = find_program("caddy", "caddy")
    address = {"forum.example {": f"http://forum.example:{port} {{"}
    configuration = folder / "Caddyfile"
    sites = replace_all(read_block("deployment", "caddy"), {**address, **values})
    configuration.write_text(CADDY + sites)
    with running([command, "run", "--config", configuration], folder, port) as log:
        yield log


@pytest.mark.slow
@pytest.mark.parametrize("proxy", [nginx, caddy])
async def test_proxy_of_page_passes_requests_and_sockets(
    proxy: Proxy, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_ALLOWED_HOSTS", "forum.example")
    monkeypatch.setenv("TALLIED_SOCKETS_PER_ADDRESS", "1")
    pages, port = tmp_path / "pages", free_port()
    pages.mkdir()
    (pages / "index.html").write_text("The host's own page.")
    host = f"forum.example:{port}"
    own = {"host": host, "origin": f"http://{host}"}
    with Server(tmp_path, empty_url) as server:
        values = {"127.0.0.1:8000": f"127.0.0.1:{server.port}", "/srv/forum": str(pages)}
        with proxy(tmp_path, values, port):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=own) as web:
                assert "own page" in (await web.get("/")).text
                answer = await web.post("/graphql", json={"query": START})
                assert answer.json()["data"]["createThread"]["thread"] == {"title": "Engines"}
                foreign = {"origin": "https://evil.example"}
                refused = await web.post("/graphql", json={"query": START}, headers=foreign)
                assert refused.status_code == 403
            url, address = f"ws://{host}/graphql", {"host": "127.0.0.1", "port": port}
            public = {**address, "origin": own["origin"]}
            # Each address has a place of its own, which only the proxy's header can tell.
            one, other = ({**public, "local_addr": (f"127.0.0.{n}", 0)} for n in (2, 3))
            async with opened(url, **one) as socket, opened(url, **other):
                assert await socket("{ threads(first: 3) { totalCount } }") == {"totalCount": 1}
                with pytest.raises(InvalidStatus, match="429"):
                    async with opened(url, **other):
                        pass
            with pytest.raises(InvalidStatus, match="403"):
                async with opened(url, origin="https://evil.example", **address):
                    pass
