"""PostgreSQL with TLS: certificates of a made-up authority, and what encrypts for a server.

The server of the tests' wheel is built without OpenSSL.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""PostgreSQL's SSLRequest (documentation, section 54.7); a server with TLS answers ``S``."""

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A certificate authority of its own.

    :param folder: where its files are.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._openssl = shutil.which("openssl")
        if self._openssl is None:
            pytest.skip("this machine has no openssl command; on Debian, apt install openssl")
        self._folder = folder / name
        self._folder.mkdir()
        self.root = self._folder / "root.crt"
        """The file that a client verifies servers by."""
        self._key = self._folder / "root.key"
        self._make(self.root, self._key, name, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def context(self, host: str) -> ssl.SSLContext:
        """Return what a server of that host name encrypts with."""
        certificate, key = self._folder / f"{host}.crt", self._folder / f"{host}.key"
        signed = ("-CA", str(self.root), "-CAkey", str(self._key))
        names = ("-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=CA:FALSE")
        self._make(certificate, key, host, *signed, *names)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context

    def _make(self, certificate: Path, key: Path, name: str, *options: str) -> None:
        files = ("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}")
        subprocess.run(
            [str(self._openssl), "req", "-x509", *KEY, *files, "-days", "7", *options],
            check=True,
            capture_output=True,
        )


@asynccontextmanager
async def encrypting(server: Path, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Encrypt, in front of a server that cannot; the port.

    :param server: its Unix socket.
    :param context: None for a server that has no TLS.
    """

    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(len(REQUEST))
        if start == REQUEST:
            writer.write(b"S" if context else b"N")
            start = b""
            if context:
                await writer.start_tls(context)
        behind, to_server = await asyncio.open_unix_connection(server)
        try:
            to_server.write(start)
            await asyncio.gather(pump(reader, to_server), pump(behind, writer))
        finally:
            to_server.transport.abort()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await forward(reader, writer)
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*tasks)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward until one side has ended."""
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
