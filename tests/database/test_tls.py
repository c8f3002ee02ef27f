"""``sslmode`` and ``sslrootcert`` against a server with TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from support.pooler import through
from support.tls import Authority, encrypting

from tallied.errors import ConfigurationError
from tallied.migrations.opener import open_database
from tallied.settings import Settings


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    """The one that has signed the server's certificate, and another."""
    folder = tmp_path_factory.mktemp("authorities")
    return {name: Authority(folder, name) for name in ("right", "wrong")}


async def answer(
    authorities: dict[str, Authority],
    server: URL,
    mode: str,
    root: str | None,
    *,
    host: str = "localhost",
    encrypts: bool = True,
) -> int:
    """Return what a query says, by that mode and that root, of a server of that host name."""
    socket = Path(str(server.query["host"])) / ".s.PGSQL.5432"
    context = authorities["right"].context(host) if encrypts else None
    query = {"sslmode": mode}
    if root:
        query["sslrootcert"] = str(authorities[root].root)
    async with encrypting(socket, context) as port:
        url = through(server.render_as_string(False), port, **query)
        url = url.replace("127.0.0.1", "localhost")
        async with open_database(Settings(database=url)) as database, database.read() as connection:
            number: int = (await connection.execute(text("SELECT 7"))).scalar_one()
            return number


@pytest.mark.parametrize(
    ("mode", "root"),
    [
        ("verify-full", "right"),
        ("verify-ca", "right"),
        ("require", "right"),
        ("require", None),
        ("prefer", None),
    ],
)
async def test_certificate_that_mode_accepts_connects(
    authorities: dict[str, Authority], postgresql: URL, mode: str, root: str | None
) -> None:
    assert await answer(authorities, postgresql, mode, root) == 7


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
async def test_certificate_of_another_authority_is_refused(
    authorities: dict[str, Authority], postgresql: URL, mode: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"does not answer .*certificate verify failed"):
        await answer(authorities, postgresql, mode, "wrong")


async def test_only_verify_full_refuses_another_host_name(
    authorities: dict[str, Authority], postgresql: URL
) -> None:
    host = "elsewhere.example"
    for mode in ("verify-ca", "require"):
        assert await answer(authorities, postgresql, mode, "right", host=host) == 7
    with pytest.raises(ConfigurationError, match="Hostname mismatch"):
        await answer(authorities, postgresql, "verify-full", "right", host=host)


async def test_require_refuses_server_without_tls(
    authorities: dict[str, Authority], postgresql: URL
) -> None:
    assert await answer(authorities, postgresql, "prefer", None, encrypts=False) == 7
    with pytest.raises(ConfigurationError, match="rejected SSL upgrade"):
        await answer(authorities, postgresql, "require", None, encrypts=False)
