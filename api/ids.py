"""Identifiers: a prefix that says what it is, and 20 characters of base32 whose order is the order of making."""

import secrets
import time

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"  # base32hex: sorts as the number does
_TIME_BITS, _RANDOM_BITS = 48, 52


def new_id(prefix: str, *, now_ms: int | None = None) -> str:
    """`job_` and 48 bits of milliseconds since 1970, then 52 random bits. Two of one millisecond sort by chance."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (milliseconds % 2**_TIME_BITS) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))
