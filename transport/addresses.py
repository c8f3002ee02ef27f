"""Limits for each client address."""

from __future__ import annotations

import logging
from collections import Counter

from ..auth.networks import client_network

logger = logging.getLogger("tallied")


class AddressLimit:
    """A limit for what one client address may have at once.

    :param setting: the environment variable of the limit, for the log.
    """

    def __init__(self, maximum: int, setting: str) -> None:
        self.maximum = maximum
        self._setting = setting
        self._counts: Counter[str] = Counter()
        self._logged: str | None = None

    def acquire(self, host: str | None) -> bool:
        """Count one more for an address, if it may have another; return whether it may.

        :param host: the client's address; None, as behind a Unix domain socket, has no limit.
        """
        if host is None:
            return True
        network = client_network(host)
        if self._counts[network] >= self.maximum:
            self._log(network)
            return False
        self._counts[network] += 1
        return True

    def release(self, host: str | None) -> None:
        """Count one less for an address that has acquired one."""
        if host is not None:
            network = client_network(host)
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]

    def _log(self, network: str) -> None:
        """Log the address, unless it was logged last."""
        if network != self._logged:
            self._logged = network
            logger.warning(
                "%s has reached %s=%d. If it is a proxy, have it send X-Forwarded-For and name its"
                " address in FORWARDED_ALLOW_IPS, or raise the setting.",
                network,
                self._setting,
                self.maximum,
            )
