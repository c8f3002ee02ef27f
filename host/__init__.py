"""The parts that a host supplies: a policy, hooks and targets, and their validation."""

from ..extras import require

require("app", __name__)
