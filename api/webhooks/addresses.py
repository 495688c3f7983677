"""Where a webhook may go: what the service can reach, and people who use it cannot, must not be reached through it.

A name may change what it stands for between a look and a connection, so the connection is made to the address that was
looked at.

Errors:
    AddressRefused (ValueError)   the address is none that webhooks go to, or the name none that is known
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_LOCAL = (  # which the standard library of Python 3.11 takes for public
    IPv6Network("::/96"),  # RFC 4291: IPv4-compatible
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
    IPv6Network("5f00::/16"),  # RFC 9602: segment routing
    IPv6Network("fec0::/10"),  # RFC 3879: site-local
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: NAT64 of a network's own
    IPv6Network("::ffff:0:0:0/96"),  # RFC 6145: IPv4 translated
)
_INNER = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890, some clouds' metadata; Python 3.11.7 takes a part of it for public
    IPv4Network("168.63.129.16/32"),  # what Azure's own services answer on within each of its networks
)
_ALLOW = "LUTNAS_WEBHOOK_PRIVATE=true allows it"


class AddressRefused(ValueError):
    """The address is none that webhooks go to, or the name none that is known."""


def check_url(text: str, *, private: bool) -> httpx.URL:
    """The URL, looked at without asking anybody: names are looked up when something is sent. Raises AddressRefused."""
    try:
        url = httpx.URL(text)
        has_host = bool(url.host)  # decodes it: `xn--a` is no name
    except (httpx.InvalidURL, UnicodeError) as error:
        raise AddressRefused(f"is no URL: {error}") from error
    host = host_of(url)
    if url.scheme not in ("http", "https") or not has_host or "%" in host or not 0 < (url.port or 80) < 2**16:
        raise AddressRefused("is no URL of http or https")
    if url.userinfo:
        raise AddressRefused("holds a password, which lists would show: receivers are sure of us by the signature")
    if private:
        return url
    if host == "localhost" or host.endswith(".localhost"):
        raise AddressRefused(f"is of this machine: {_ALLOW}")
    try:
        literal = ip_address(host)
    except ValueError:
        return url
    _check(literal)
    return url


def host_of(url: httpx.URL) -> str:
    """The host in ASCII, by IDNA 2008. `url.host` is Unicode, of which Python's resolver and TLS make something else by
    IDNA 2003: of faß.de the host fass.de, which may be another's.
    """
    return url.raw_host.decode("ascii")


async def addresses_of(url: httpx.URL, *, private: bool) -> list[str]:
    """All addresses that the URL's host stands for now, each one that webhooks go to. Raises AddressRefused."""
    loop, port = asyncio.get_running_loop(), url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        found = await loop.getaddrinfo(host_of(url), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused("is of a host that is not known") from error
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if not private:
        for address in addresses:
            _check(ip_address(address))
    return addresses


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is reached over the public Internet alone. An IPv4 address inside of an IPv6 one is what counts."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _LOCAL):
            return False
    elif any(address in network for network in _INNER):
        return False
    return address.is_global and not address.is_multicast


def _check(address: IPv4Address | IPv6Address) -> None:
    if not is_public(address):
        # Which address is not told: names of an inner network are nobody's to look up by way of us.
        raise AddressRefused(f"leads to an address that is not public: {_ALLOW}")
