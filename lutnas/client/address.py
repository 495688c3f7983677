"""Addresses of services: which can be used, and which lead to this machine."""

import ipaddress
from urllib.parse import urlsplit

import httpx


def is_address(url: str) -> bool:
    """Whether a service can be asked at `url`: http or https, a host, and no port that is none."""
    try:
        found, _ = httpx.URL(url), urlsplit(url).port  # the second knows the range of ports
        return found.scheme in ("http", "https") and bool(found.host)
    except (httpx.InvalidURL, ValueError):
        return False


def is_this_machine(url: str) -> bool:
    """Whether `url` leads to this machine, so that the local token may go there."""
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False
