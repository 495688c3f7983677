"""Addresses of services: which of them lead to this machine."""

import ipaddress

import httpx


def is_this_machine(url: str) -> bool:
    """Whether `url` leads to this machine, so that the local token may go there."""
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False
