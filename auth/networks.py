"""The identity of a client without a name: its address, or the network of that."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64
"""The bits of an IPv6 address that identify a client, who has all addresses of its network."""


def client_network(host: str, *, ipv4_prefix: int = 32) -> str:
    """Return the identity of a client: its IPv4 address, or the network of its IPv6 address.

    A text that is not an address, which a proxy may send, is returned as it is.

    :param ipv4_prefix: the bits of an IPv4 address that identify a client.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if isinstance(address, IPv6Address):
        bits = 128 - IPV6_PREFIX
        return f"{IPv6Address(int(address) >> bits << bits)}/{IPV6_PREFIX}"
    if ipv4_prefix == 32:
        return str(address)
    return str(ip_network((int(address), ipv4_prefix), strict=False))
