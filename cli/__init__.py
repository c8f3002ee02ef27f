"""The command line: one command, one file."""

import gc

from ..extras import require

require("server", "The command tallied")

gc.set_threshold(100_000, 20, 20)
# What a command imports stays to its end: with Python's 700, a tenth of its start is spent on
# looking for garbage in it. A server sets its own thresholds later (:data:`tallied.asgi`).
