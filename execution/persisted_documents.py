"""Persisted documents, which a client names by an id instead of sending them.

A file lists the documents with which a client was built, by ids of any kind (the GraphQL over HTTP
draft's appendix on persisted documents; the JSON object of Relay and graphql-codegen, or Apollo's
manifest). And a client may send a document with its SHA-256 once, and only the hash from then on
(Apollo's automatic persisted queries).
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
"""A document identifier, as in the draft's appendix."""

MAX_ID_LENGTH = 256
"""The most characters of a document identifier."""


class PersistedDocuments:
    """The documents that can be named by an id.

    :param listed: the documents of the file, by id.
    :param room: the most characters of documents that are stored for clients.
    """

    def __init__(self, listed: Mapping[str, str], room: int) -> None:
        self.accepts_new = room > 0
        self.listed = listed
        self._listed = {**{sha256(text): text for text in listed.values()}, **listed}
        self._texts = frozenset(listed.values())
        self._room = room
        self._free = room
        self._stored: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings) -> PersistedDocuments:
        """Return the documents of the settings.

        :raises ConfigurationError: if the file of documents cannot be used.
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
        """Return the document with that id, or None."""
        if re.fullmatch("[0-9a-f]{64}", id) and id not in self._listed:
            id = f"sha256:{id}"  # as Relay's compiler writes it
        if id in self._listed:
            return self._listed[id]
        if id in self._stored:
            self._stored.move_to_end(id)
        return self._stored.get(id)

    def store(self, text: str) -> None:
        """Store a document that a client has sent with its hash, in place of the oldest ones."""
        id = sha256(text)
        if id in self._listed or id in self._stored or len(text) > self._room:
            return
        self._stored[id] = text
        self._free -= len(text)
        while self._free < 0:
            self._free += len(self._stored.popitem(last=False)[1])

    def is_listed(self, text: str) -> bool:
        """Return whether the file lists the document."""
        return text in self._texts


def sha256(text: str) -> str:
    """Return the SHA256 hex document identifier of a document."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_documents(path: str) -> dict[str, str]:
    """Return the documents of a file, by id.

    :raises ConfigurationError: if it cannot be read, or has neither of the two forms.
    """
    try:
        content = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} is not JSON."
        ) from error
    is_manifest = isinstance(content, dict) and "format" in content
    documents = _read_manifest(content) if is_manifest else content
    if not isinstance(documents, dict) or not all(map(_is_document, documents.items())):
        raise ConfigurationError(
            f"{SETTINGS['persisted_documents']}: {path} must be a JSON object of documents by"
            " their ids, or a manifest in Apollo's form."
        )
    return documents


def _read_manifest(content: dict[str, Any]) -> Any:
    """Return the documents of an apollo-persisted-query-manifest, version 1."""
    try:
        return {operation["id"]: operation["body"] for operation in content["operations"]}
    except (KeyError, TypeError):
        return None


def _is_document(item: tuple[Any, Any]) -> bool:
    id, text = item
    return isinstance(text, str) and isinstance(id, str) and is_identifier(id)


def is_identifier(id: str) -> bool:
    """Return whether a text can be a document identifier."""
    return len(id) <= MAX_ID_LENGTH and IDENTIFIER.fullmatch(id) is not None
