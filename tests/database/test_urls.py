"""Parameters of PostgreSQL's URLs: converted to what asyncpg takes, or refused by name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from sqlalchemy import text

from tallied.database import Database
from tallied.database.urls import parse_url, split_url
from tallied.errors import ConfigurationError

ROOTS = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"

needs_roots = pytest.mark.skipif(
    not Path(ROOTS).is_file(), reason="this machine has no file of root certificates"
)


def test_numbers_reach_the_driver_as_numbers() -> None:
    url, arguments = split_url(
        parse_url("postgres://u@h/d?statement_cache_size=0&command_timeout=2.5&ssl=disable")
    )
    assert arguments == {"statement_cache_size": 0, "command_timeout": 2.5}
    assert dict(url.query) == {"ssl": "disable"}


@pytest.mark.parametrize(
    "options", ["-csearch_path=a -c work_mem=5MB", "--search_path=a --work_mem=5MB"]
)
def test_options_become_settings_of_the_server(options: str) -> None:
    _, arguments = split_url(parse_url(f"postgres://u@h/d?options={options.replace(' ', '%20')}"))
    assert arguments == {"server_settings": {"search_path": "a", "work_mem": "5MB"}}


@needs_roots
@pytest.mark.parametrize(
    ("mode", "checks_name"), [("require", False), ("verify-ca", False), ("verify-full", True)]
)
def test_sslrootcert_verifies_the_server(mode: str, checks_name: bool) -> None:
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
        ("sslmode=require&sslrootcert=/no/such", "sslrootcert cannot be used .No such file"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(query: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parse_url(f"postgres://u@h/d?{query}")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_converted_parameters_connect(empty_url: str) -> None:
    query = (
        "statement_cache_size=0&prepared_statement_cache_size=0&options=-csearch_path%3Dpg_catalog"
    )
    database = Database(f"{empty_url}{'&' if '?' in empty_url else '?'}{query}")
    async with database.read() as connection:
        assert (await connection.execute(text("SHOW search_path"))).scalar_one() == "pg_catalog"
    await database.dispose()
