"""Allowed host names of a server, and pages with rebound names."""

from __future__ import annotations

import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from support.browser import Browser
from support.sockets import PROTOCOL, opened, serve_app
from websockets.exceptions import InvalidStatus

from tallied.database import Database
from tallied.discussion import Discussion
from tallied.error_codes import make_extensions
from tallied.errors import ConfigurationError
from tallied.settings import Settings

QUERY = {"query": "{ __typename }"}
COUNT = json.dumps({"query": "{ threads { totalCount } }"})
CREATE = json.dumps({"query": 'mutation { createThread(input: {title: "A"}) { thread { id } } }'})
POST = """fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'},
    body: %s}).then(answer => answer.text())"""
LOCAL = ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "app.localhost", "192.0.2.7", ""]
REBOUND = [
    "rebound.example:{port}",
    "REBOUND.example.:{port}",
    "localhost.example:{port}",
    "127.0.0.1.example:{port}",
    "re!bound.example:{port}",  # of which browsers and resolvers find nothing wrong
    "rebound.example:" + "8" * 5000,
]

pytestmark = pytest.mark.sqlite


async def send(client: httpx.AsyncClient, host: str, path: str = "/graphql") -> httpx.Response:
    """Send a request by another name than the one that it is sent to."""
    headers = {"host": host.format(port=client.base_url.port)}
    if path != "/graphql":
        return await client.get(path, headers=headers)
    return await client.post(path, json=QUERY, headers=headers)


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert error["extensions"] == make_extensions("HOST_NOT_ALLOWED")
    assert "TALLIED_ALLOWED_HOSTS" in error["message"]


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_local_names_and_addresses_are_always_served(
    database: Database, environment: str
) -> None:
    async with serve_app(database, environment=environment) as client:
        for host in LOCAL:
            assert (await send(client, host)).status_code == 200, host


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_rebound_name_is_refused_on_loopback(database: Database, environment: str) -> None:
    async with serve_app(database, environment=environment, guests="read") as client:
        for host in REBOUND:
            assert_refused(await send(client, host))
            assert_refused(await send(client, host, "/schema.graphql"))
            assert_refused(await send(client, host, "/nowhere"))


async def test_proxy_that_keeps_public_name_is_served(database: Database) -> None:
    """The port in ``Host`` is the proxy's, or left out where it is the scheme's own."""
    async with serve_app(database, environment="production") as client:
        for host in ("forum.example", "forum.example:8443"):
            assert (await send(client, host)).status_code == 200
    async with serve_app(database, environment="development") as client:
        assert_refused(await send(client, "forum.example"))


async def test_listed_names_alone_are_served(database: Database) -> None:
    hosts = "forum.example, *.Forum.example, [::1]"
    async with serve_app(database, allowed_hosts=hosts) as client:
        for host in ("forum.example", "Forum.EXAMPLE:9", "a.b.forum.example.", "[::1]:{port}"):
            assert (await send(client, host)).status_code == 200, host
        for host in ("127.0.0.1:{port}", "localhost", "evil-forum.example", "example", ""):
            assert_refused(await send(client, host))


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_star_allows_any_name(database: Database, environment: str) -> None:
    async with serve_app(database, environment=environment, allowed_hosts="*") as client:
        assert (await send(client, REBOUND[0])).status_code == 200


async def test_health_answers_by_any_name(database: Database) -> None:
    """Load balancers send the machine's address, a name of their own, or nothing."""
    async with serve_app(database, allowed_hosts="forum.example") as client:
        for host in ("10.0.0.7:{port}", "", "target-group.internal"):
            assert (await send(client, host, "/health")).json() == {"status": "ok"}
        for path in ("/healthy", "/x/health"):
            assert_refused(await send(client, "10.0.0.7", path))


async def test_rebound_name_opens_no_websocket(database: Database) -> None:
    """Its ``Origin`` equals its ``Host``, so comparing the two finds nothing."""
    async with serve_app(database, environment="development") as client:
        rebound = f"rebound.example:{client.base_url.port}"
        options = {
            "additional_headers": {"origin": f"http://{rebound}"},
            "subprotocols": [PROTOCOL],
            "host": "127.0.0.1",
            "port": client.base_url.port,
        }
        with pytest.raises(InvalidStatus) as refused:
            async with opened(f"ws://{rebound}/graphql", **options):
                pass
        assert refused.value.response.status_code == 400
        assert b"HOST_NOT_ALLOWED" in refused.value.response.body


async def test_host_application_checks_listed_names(database: Database) -> None:
    """Where none is listed, the names are its own middleware's to check."""
    for hosts in ("", "forum.example"):
        discussion = Discussion(database, settings=Settings(allowed_hosts=hosts))
        app = Starlette(routes=[Mount("/discussion", routes=discussion.routes())])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as client:
            response = await client.post("/discussion/graphql", json=QUERY)
            if hosts:
                assert_refused(response)
            else:
                assert response.status_code == 200
            headers = {"host": "forum.example"}
            response = await client.post("/discussion/graphql", json=QUERY, headers=headers)
            assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "hosts",
    [
        "https://forum.example",
        "forum.example:8000",
        ".forum.example",
        "*forum.example",
        "a b",
        "::1",
    ],
)
def test_impossible_host_name_is_refused(hosts: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^TALLIED_ALLOWED_HOSTS .* must be names like"):
        Settings(allowed_hosts=f"www.example,{hosts}")


async def test_rebound_page_in_browser_is_refused(database: Database, browser: Browser) -> None:
    """A real Chromium resolves the name as an attacker's name server would."""
    async with (
        serve_app(database, environment="development") as client,
        browser.open() as page,
    ):
        port = client.base_url.port
        # The only page that the name gets to see, as an attacker's own server would have sent one.
        await page.open(f"http://rebound.example:{port}/health")
        await page.wait("location.hostname === 'rebound.example' && document.body.innerText")
        assert "HOST_NOT_ALLOWED" in await page.run(POST % json.dumps(COUNT))
        assert "HOST_NOT_ALLOWED" in await page.run(POST % json.dumps(CREATE))
        script = """new Promise(resolve => {
            const socket = new WebSocket(`ws://${location.host}/graphql`, 'graphql-transport-ws');
            socket.onopen = () => resolve('open');
            socket.onerror = () => resolve('refused');
        })"""
        assert await page.run(script) == "refused"
        # The same page, by the name that the server has, is served.
        await page.open(f"http://localhost:{port}/health")
        await page.wait("location.hostname === 'localhost' && document.body.innerText")
        answer = json.loads(await page.run(POST % json.dumps(COUNT)))
        assert answer["data"] == {"threads": {"totalCount": 0}}
