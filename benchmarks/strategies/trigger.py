"""Triggers of the database that add differences: the other way to be exact."""

from __future__ import annotations

from sqlalchemy import DDL, event

from .tables import Strategy, map_strategy

# On tables of their own, since a trigger fires for whoever writes.
PREFIX = "trigger_"

ADD = f"UPDATE {PREFIX}thread SET word_count = word_count + NEW.word_count WHERE id = NEW.thread_id"
SUBTRACT = (
    f"UPDATE {PREFIX}thread SET word_count = word_count - OLD.word_count WHERE id = OLD.thread_id"
)

SQLITE = [
    f"CREATE TRIGGER {PREFIX}{verb} AFTER {verb} ON {PREFIX}comment BEGIN {body}; END"
    for verb, body in (("INSERT", ADD), ("DELETE", SUBTRACT), ("UPDATE", f"{SUBTRACT}; {ADD}"))
]

POSTGRESQL = [
    f"""
    CREATE FUNCTION {PREFIX}count() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' THEN {SUBTRACT}; END IF;
        IF TG_OP <> 'DELETE' THEN {ADD}; END IF;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE TRIGGER {PREFIX}count AFTER INSERT OR UPDATE OR DELETE ON {PREFIX}comment
    FOR EACH ROW EXECUTE FUNCTION {PREFIX}count()
    """,
]


def _trigger() -> Strategy:
    strategy = map_strategy("delta trigger", prefix=PREFIX, is_derived=False)
    for dialect, statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
        for statement in statements:
            ddl = DDL(statement.replace("%", "%%")).execute_if(dialect=dialect)
            event.listen(strategy.metadata, "after_create", ddl)
    return strategy


TRIGGER = _trigger()
