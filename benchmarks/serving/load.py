"""Load by ``wrk`` where the machine has it; otherwise by :mod:`.client`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class HTTPRequest(NamedTuple):
    """A request: its method, its path, its body of JSON, and its Authorization if it has one."""

    method: str
    path: str
    body: str
    authorization: str = ""


class Load(NamedTuple):
    """What came of a load: the requests, those that failed, and two percentiles in seconds."""

    requests: int
    failures: int
    seconds: float
    p50: float
    p99: float


SCRIPT = """
local requests, number = {}, 0
local headers = {["Content-Type"] = "application/json", ["Host"] = "127.0.0.1"}
function init()
  for _, item in ipairs(ITEMS) do
    headers["Authorization"] = item[4] ~= "" and item[4] or nil
    requests[#requests + 1] = wrk.format(item[1], item[2], headers, item[3])
  end
end
function request()
  number = number % #requests + 1
  return requests[number]
end
function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("LOAD %d %d %d %d %d", summary.requests, failures, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
"""


def run_wrk(port: int, requests: Sequence[HTTPRequest], connections: int, seconds: float) -> Load:
    """Send the requests in turn, on so many connections at once; ``wrk`` takes whole seconds."""
    items = ",\n".join(
        f'{{"{item.method}", "{item.path}", [==[{item.body}]==], "{item.authorization}"}}'
        for item in requests
    )
    whole = max(1, round(seconds))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"ITEMS = {{{items}}}\n{SCRIPT}")
        script.flush()
        options = ["-t1", f"-c{connections}", f"-d{whole}s", "-s", script.name]
        command = ["wrk", *options, f"http://127.0.0.1:{port}"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"LOAD (\d+) (\d+) (\d+) (\d+) (\d+)", printed)
    assert numbers, printed
    count, failures, duration, p50, p99 = map(int, numbers.groups())
    return Load(count, failures, duration / 1e6, p50 / 1e6, p99 / 1e6)


def run_client(
    port: int, requests: Sequence[HTTPRequest], connections: int, seconds: float
) -> Load:
    """Do the same by a client in Python, in a process of its own."""
    module = "tallied.benchmarks.serving.client"
    command = [sys.executable, "-m", module, str(port), str(connections), str(seconds)]
    printed = subprocess.run(
        command, input=json.dumps(requests), capture_output=True, text=True, check=True
    ).stdout
    return Load(*json.loads(printed))


def generator() -> Callable[[int, Sequence[HTTPRequest], int, float], Load]:
    """Return the best generator of load on this machine."""
    return run_wrk if shutil.which("wrk") else run_client
