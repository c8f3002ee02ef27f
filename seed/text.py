"""Natural-looking texts in several languages, made from the phrases beside this module.

Faker was measured and left out: 25 MB installed, and its sentences are shuffled words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle
from random import Random


@dataclass(frozen=True)
class Language:
    """One language's phrases; its sentences are pairs of clauses, joined by a link."""

    code: str
    weight: int
    name: str
    given: list[str]
    family: list[str]
    topics: list[str]
    titles: list[str]
    about: str
    openers: list[str]
    clauses: list[str]
    links: list[str]
    closers: list[str]
    short: list[str]
    space: str = " "
    stop: str = "."
    capitals: bool = True

    def capital(self, sentence: str) -> str:
        return sentence[0].upper() + sentence[1:] if self.capitals else sentence


@dataclass(frozen=True)
class Phrases:
    languages: list[Language]
    emoji: list[str]


@cache
def phrases() -> Phrases:
    """Return the phrases, read once."""
    data = tomllib.loads(files(__package__).joinpath("phrases.toml").read_text("utf-8"))
    return Phrases([Language(**entry) for entry in data["language"]], data["emoji"])


class Writer:
    """Writes as the members of a forum do; the same `random` gives the same texts."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.languages = phrases().languages
        self._emoji = phrases().emoji
        self._weights = [language.weight for language in self.languages]

    def language(self) -> Language:
        """Return the language of a new thread."""
        return self.random.choices(self.languages, self._weights)[0]

    def author(self, language: Language) -> str:
        choice = self.random.choice
        return language.name.format(given=choice(language.given), family=choice(language.family))

    def title(self, language: Language, topic: str) -> str:
        title = self.random.choice(language.titles).format(topic=topic)
        title = language.capital(title)
        return f"{title} {self._emojis()}" if self.random.random() < 0.1 else title

    def message(self, language: Language, topic: str) -> str:
        """Return a comment of 1 to 30 sentences, most of them short."""
        random = self.random
        roll = random.random()
        if roll < 0.04:
            return self._emojis()
        if roll < 0.12:
            return self._with_emoji(random.choice(language.short))
        clauses = cycle(random.sample(language.clauses, len(language.clauses)))
        paragraphs = [self._paragraph(language, clauses)]
        while len(paragraphs) < 6 and random.random() < 0.12:
            paragraphs.append(self._paragraph(language, clauses))
        if random.random() < 0.15:
            paragraphs[0] = language.capital(language.about.format(topic=topic)) + paragraphs[0]
        if random.random() < 0.3:
            paragraphs[0] = random.choice(language.openers) + language.space + paragraphs[0]
        if random.random() < 0.25:
            paragraphs[-1] += language.space + random.choice(language.closers)
        text = "\n\n".join(paragraphs)
        return self._with_emoji(text) if random.random() < 0.15 else text

    def _paragraph(self, language: Language, clauses: Iterator[str]) -> str:
        sentences = [self._sentence(language, clauses)]
        while len(sentences) < 5 and self.random.random() < 0.5:
            sentences.append(self._sentence(language, clauses))
        return language.space.join(sentences)

    def _sentence(self, language: Language, clauses: Iterator[str]) -> str:
        sentence = next(clauses)
        if self.random.random() < 0.6:
            sentence += self.random.choice(language.links) + next(clauses)
        return language.capital(sentence) + language.stop

    def _emojis(self) -> str:
        return self.random.choice(self._emoji) * self.random.choice((1, 1, 2, 3))

    def _with_emoji(self, text: str) -> str:
        return f"{text} {self._emojis()}"
