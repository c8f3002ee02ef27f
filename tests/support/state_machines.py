"""State machines of hypothesis on a database."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run_machine(
    kind: type[RuleBasedStateMachine], *, examples: int, steps: int, **attributes: Any
) -> None:
    """Run a state machine, whose class gets attributes, with the same random steps each time."""
    run_state_machine_as_test(
        type("Machine", (kind,), attributes),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
