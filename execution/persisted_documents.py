"""Persisted documents: a client names a document by an id instead of sending it.

Two ways lead to one store. A file lists the documents that a client was built with, by
ids of any kind (the GraphQL over HTTP draft's appendix on persisted documents; Relay's and
graphql-codegen's JSON object, or Apollo's manifest). And a client may send a document along
with its SHA-256 once, and the hash alone from then on (Apollo's automatic persisted
queries).
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigurationError
from ..settings import SETTINGS, Settings

IDENTIFIER = re.compile(r"[A-Za-z0-9\-._~]+(:[A-Za-z0-9\-._~]+)?")
"""A document identifier, as the draft's appendix spells it."""

MAX_ID_LENGTH = 256
"""How many characters a document identifier may have."""


class PersistedDocuments:
    """The documents that can be named by an id.

    :param listed: documents by their ids, which are always known.
    :param room: how many characters of documents are kept for clients that have sent them.
    """

    def __init__(self, listed: Mapping[str, str], room: int) -> None:
        self.accepts_new = room > 0
        self.listed = listed
        self._listed = {**{sha256(text): text for text in listed.values()}, **listed}
        self._texts = frozenset(listed.values())
        self._room = room
        self._free = room
        self._kept: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings) -> PersistedDocuments:
        """Those that the settings ask for.

        :raises ConfigurationError: when the file of documents cannot be used.
        """
        path = settings.persisted_documents
        if settings.only_persisted and not path:
            raise ConfigurationError(
                f"{SETTINGS['only_persisted']} needs a list: set {SETTINGS['persisted_documents']}"
                " to its file."
            )
        room = 0 if settings.only_persisted else settings.automatic_documents
        return cls(read_documents(path) if path else {}, room)

    def find(self, id: str) -> str | None:
        """The document of that id; None where there is none."""
        if re.fullmatch("[0-9a-f]{64}", id) and id not in self._listed:
            id = f"sha256:{id}"  # as Relay's compiler writes it
        if id in self._listed:
            return self._listed[id]
        if id in self._kept:
            self._kept.move_to_end(id)
        return self._kept.get(id)

    def keep(self, text: str) -> None:
        """Keep a document that came along with its hash, as long as there is room."""
        id = sha256(text)
        if id in self._listed or id in self._kept or len(text) > self._room:
            return
        self._kept[id] = text
        self._free -= len(text)
        while self._free < 0:
            self._free += len(self._kept.popitem(last=False)[1])

    def is_listed(self, text: str) -> bool:
        """Whether the document is one of the file's."""
        return text in self._texts


def sha256(text: str) -> str:
    """The SHA256 hex document identifier of a document."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_documents(path: str) -> dict[str, str]:
    """The documents of a file, by their ids.

    :raises ConfigurationError: when it cannot be read, or has not one of the two forms.
    """
    try:
        found = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} is not JSON."
        ) from error
    documents = _of_manifest(found) if isinstance(found, dict) and "format" in found else found
    if not isinstance(documents, dict) or not all(map(_is_document, documents.items())):
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} must be a JSON object of documents by"
            " their ids, or a manifest in Apollo's form."
        )
    return documents


def _of_manifest(found: dict[str, Any]) -> Any:
    """Apollo's apollo-persisted-query-manifest, version 1."""
    try:
        return {each["id"]: each["body"] for each in found["operations"]}
    except (KeyError, TypeError):
        return None


def _is_document(item: tuple[Any, Any]) -> bool:
    id, text = item
    return isinstance(text, str) and isinstance(id, str) and is_identifier(id)


def is_identifier(id: str) -> bool:
    """Whether a text can be a document identifier."""
    return len(id) <= MAX_ID_LENGTH and IDENTIFIER.fullmatch(id) is not None
