"""State machines of hypothesis on a database."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run_machine(kind: type[RuleBasedStateMachine], url: str, *, examples: int, steps: int) -> None:
    """Run a state machine on a database, with the same random steps each time."""
    run_state_machine_as_test(
        type("Machine", (kind,), {"url": url}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
