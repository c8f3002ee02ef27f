"""Client errors in the log, and the faults behind masked errors."""

from __future__ import annotations

import pytest
from support.api import Api

JSON = "application/json"

pytestmark = pytest.mark.sqlite


async def test_internal_error_is_masked_and_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async with api.database.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE tallied_comment")
        await connection.exec_driver_sql("DROP TABLE tallied_thread")
    answer = await api.post("{ __typename threads(first: 1) { totalCount } }")
    assert answer["data"] == {"__typename": "Query", "threads": None}
    (error,) = answer["errors"]
    assert error["extensions"].keys() == {"code", "documentation", "id"}
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "table" not in error["message"]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error["extensions"]["id"] in record.getMessage()
    assert error["extensions"]["id"] in error["message"]
    assert record.exc_info is not None
    assert "no such table" in str(record.exc_info[1])


async def test_client_error_is_one_log_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tallied.api")
    headers = {"content-type": JSON}
    for _ in range(2):  # The second time the document is known already.
        for body in (
            b"NONSENSE",
            b'{"query": "{"}',
            b'{"query": "{ unknown, unknown2 }"}',
            b'{"query": "query($n: Int!) { threads(first: $n) { totalCount } }"}',
            b'{"query": "query a { __typename } query b { __typename }"}',
            b'{"query": "{ thread(id: \\"x\\\\ny\\") { id } }"}',
        ):
            caplog.clear()
            response = await api.http.post("/graphql", content=body, headers=headers)
            error = response.json()["errors"][0]
            (record,) = caplog.records
            assert (record.levelname, record.exc_info) == ("INFO", None)
            assert record.getMessage().startswith(error["extensions"]["code"] + ": ")
            assert "\n" not in record.getMessage()


async def test_long_client_error_is_shortened_in_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tallied.api")
    await api.post("{ " + "x" * 50_000 + " }")
    (record,) = caplog.records
    assert 500 < len(record.getMessage()) < 600
