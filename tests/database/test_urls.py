"""URLs of databases: parameters are converted for asyncpg, or refused by name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from conftest import Open
from sqlalchemy import text

from tallied.database.urls import SSL_MODES, parse_url, shell_argument, split_url
from tallied.errors import ConfigurationError

ROOTS = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"

needs_roots = pytest.mark.skipif(
    not Path(ROOTS).is_file(), reason="this machine has no file of root certificates"
)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "The database URL cannot be read"),
        ("sqlite+aiosqlite://:port/x", "The database URL"),
        ("mysql://localhost/x", "names 'mysql', which Tallied cannot use"),
        ("postgresql+pg8000://localhost/x", "names 'postgresql.pg8000'"),
    ],
)
def test_unusable_url_is_refused_with_remedy(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        parse_url(url)
    assert "use sqlite+aiosqlite:///FILE or postgresql+asyncpg://" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite+aiosqlite:///a b.db", "'sqlite+aiosqlite:///a b.db'"),
        ("sqlite://u:s3cret@/x.db", None),
        ("postgresql://u:s3cret@h/d", None),
        ("nonsense", None),
    ],
)
def test_url_is_shown_unless_it_may_have_password(url: str, shown: str | None) -> None:
    assert shell_argument(url) == shown


def test_url_without_driver_gets_async_driver() -> None:
    assert parse_url("postgresql://u:p@h/d").drivername == "postgresql+asyncpg"
    assert parse_url("sqlite:///x.db").drivername == "sqlite+aiosqlite"


def test_url_of_synchronous_session_gets_async_driver() -> None:
    assert parse_url("postgresql+psycopg://h/d").drivername == "postgresql+asyncpg"
    assert parse_url("sqlite+pysqlite:///x.db").drivername == "sqlite+aiosqlite"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_url_of_hosting_provider_is_accepted(scheme: str) -> None:
    url = parse_url(f"{scheme}://u:p%40ss@h.example:6543/d?sslmode=require&channel_binding=require")
    assert url.render_as_string(False) == (
        "postgresql+asyncpg://u:p%40ss@h.example:6543/d?ssl=require"
    )


@pytest.mark.parametrize("mode", SSL_MODES)
def test_sslmode_becomes_ssl_of_asyncpg(mode: str) -> None:
    assert dict(parse_url(f"postgres://h/d?sslmode={mode}").query) == {"ssl": mode}


def test_numbers_reach_driver_as_numbers() -> None:
    url, arguments = split_url(
        parse_url("postgres://u@h/d?statement_cache_size=0&command_timeout=2.5&ssl=disable")
    )
    assert arguments == {"statement_cache_size": 0, "command_timeout": 2.5}
    assert dict(url.query) == {"ssl": "disable"}


@pytest.mark.parametrize(
    "options", ["-csearch_path=a -c work_mem=5MB", "--search_path=a --work_mem=5MB"]
)
def test_options_become_settings_of_server(options: str) -> None:
    _, arguments = split_url(parse_url(f"postgres://u@h/d?options={options.replace(' ', '%20')}"))
    assert arguments == {"server_settings": {"search_path": "a", "work_mem": "5MB"}}


@needs_roots
@pytest.mark.parametrize(
    ("mode", "checks_name"), [("require", False), ("verify-ca", False), ("verify-full", True)]
)
def test_sslrootcert_verifies_server(mode: str, checks_name: bool) -> None:
    query = f"sslmode={mode}&sslrootcert={ROOTS}"
    url, arguments = split_url(parse_url(f"postgres://u@h/d?{query}"))
    context = arguments["ssl"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname is checks_name
    assert "ssl" not in url.query
    assert len(context.get_ca_certs()) > 2


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("statement_cache_size=x", "statement_cache_size must be a whole number from 0 on"),
        ("prepared_statement_cache_size=-1", "prepared_statement_cache_size must be a whole"),
        ("command_timeout=inf", "command_timeout must be a number from 0 on"),
        ("loop=x", "parameter 'loop', which cannot be used with asyncpg; leave it out"),
        ("record_class=x", "parameter 'record_class'"),
        ("options=-W", "options must be settings like -csearch_path=public, not '-W'"),
        ("options=-c'x", "options must be settings like"),
        ("pgbouncer=yes", "pgbouncer must be true or false, not 'yes'"),
        ("pgbouncer=true&pgbouncer=true", "pgbouncer must be true or false"),
        ("sslmode=always", "sslmode must be one of disable, .*, not 'always'"),
        ("sslmode=require&sslmode=disable", "sslmode must be one of"),
        ("sslmode=require&sslrootcert=/no/such", "sslrootcert cannot be used .No such file"),
    ],
)
def test_parameter_that_cannot_be_used_is_named(query: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parse_url(f"postgres://u@h/d?{query}")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_converted_parameters_connect(empty_url: str, open_database: Open, mode: str) -> None:
    url = empty_url.replace("postgresql+asyncpg", "postgres")
    options = "statement_cache_size=0&options=-csearch_path%3Dpg_catalog"
    database = open_database(f"{url}{'&' if '?' in url else '?'}sslmode={mode}&{options}")
    async with database.read() as connection:
        assert (await connection.execute(text("SHOW search_path"))).scalar_one() == "pg_catalog"
