"""Contract point 1 where other listeners and classes take part in computing a counted column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, String, event
from sqlalchemy.orm import Session, mapped_column, validates
from support.pairs import assert_verified, counter, install, pair

from tallied.counters import Counters, Derived, Sum


def count_words(text: str) -> int:
    return len(text.split())


def text_pair(**source: Any) -> tuple[Any, Any]:
    """Return a parent, and a source with a text and its number of words."""
    columns = {"text": mapped_column(String, server_default=""), "words": counter("words")}
    return pair(source=columns | source)


def family(base: Callable[[Any], Any]) -> tuple[Any, Any, Any, Derived]:
    """Return a parent, a source, its subclass, and the derived column of what `base` chooses."""
    mapper = {"polymorphic_on": "kind", "polymorphic_identity": "source"}
    Parent, Source = text_pair(kind=mapped_column(String), __mapper_args__=mapper)
    Sub: Any = type("Sub", (Source,), {"__mapper_args__": {"polymorphic_identity": "sub"}})
    class_ = base((Source, Sub))
    return Parent, Source, Sub, Derived(class_.words, of=class_.text, compute=count_words)


def test_value_that_a_validator_refuses_is_not_shown(engine: Engine) -> None:
    def at_most_three(self: object, name: str, value: int) -> int:
        if value > 3:
            raise ValueError("too many words")
        return value

    Parent, Source = text_pair(at_most_three=validates("words")(at_most_three))
    derived = Derived(Source.words, of=Source.text, compute=count_words)
    counters, Own = install(engine, Sum(Parent.n, via=Source.parent, of=Source.words), derived)
    with Own(engine) as session:
        parent = Parent()
        stored, new = Source(parent=parent, text="two words"), Source(parent=parent)
        session.add(stored)
        session.flush()
        session.add(new)
        for source in (stored, new):
            with pytest.raises(ValueError, match="too many words"):
                source.text = "these are too many words"
            assert parent.n == 2
        new.text = "three short words"
        assert parent.n == 5
        assert_verified(session, counters)
        assert parent.n == 5


def test_value_that_only_a_subclass_derives_is_shown(engine: Engine) -> None:
    Parent, Source, Sub, derived = family(lambda classes: classes[1])
    counters, Own = install(engine, Sum(Parent.n, via=Source.parent, of=Source.words), derived)
    with Own(engine) as session:
        session.add(parent := Parent())
        plain, computed = Source(parent=parent, text="", words=7), Sub(parent=parent, text="one")
        session.add_all([plain, computed])
        assert parent.n == 8
        session.flush()
        plain.words = 9
        assert parent.n == 10
        computed.text = "two words"
        assert parent.n == 11
        assert_verified(session, counters)
        assert parent.n == 11


def test_listener_to_a_class_with_a_counted_subclass_is_called(engine: Engine) -> None:
    Parent, Source, Sub, derived = family(lambda classes: classes[0])
    counters, Own = install(engine, Sum(Parent.n, via=Sub.parent, of=Sub.words), derived)
    values: list[Any] = []
    event.listen(Source.words, "set", lambda source, value, *_: values.append(value))
    with Own(engine) as session:
        session.add(parent := Parent())
        session.add_all([Source(parent=parent, text="two words"), Sub(parent=parent, text="one")])
        assert (parent.n, values) == (1, [2])
        assert_verified(session, counters)


def test_two_engines_show_a_computed_value(engine: Engine) -> None:
    Parent, Source = text_pair()
    derived = Derived(Source.words, of=Source.text, compute=count_words)
    declared = (Sum(Parent.n, via=Source.parent, of=Source.words), derived)
    counters, Own = install(engine, *declared)

    class Other(Session):
        pass

    others = Counters(*declared)
    others.install(Other)
    for session_class, registry in ((Own, counters), (Other, others)):
        with session_class(engine) as session:
            session.add(parent := Parent())
            session.flush()
            source = Source(parent=parent, text="one two three")
            session.add(source)
            assert parent.n == 3
            source.text = "one two"
            assert parent.n == 2
            assert_verified(session, registry)
            assert parent.n == 2
            session.commit()
