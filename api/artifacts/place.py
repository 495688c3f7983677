"""Where artifacts lie: a folder, or a bucket by URL: s3://bucket/prefix?endpoint_url=https://host&region=name

A bucket's credentials come from the environment as everywhere (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role
of the machine), never from the URL, which shows up in logs.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of an S3-compatible service. Objects lie under `prefix`, "" or without slashes at its ends."""

    name: str
    prefix: str
    endpoint_url: str | None
    region: str | None


def place_of(given: Path | str) -> Path | Bucket:
    """What an operator wrote. Raises ValueError for a URL that cannot be used."""
    if isinstance(given, Path) or "://" not in given:
        return Path(given).expanduser().absolute()
    parts = urlsplit(given)
    if parts.scheme != "s3" or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError(
            "write a folder, or a URL as in s3://bucket/prefix?endpoint_url=https://host, without a password"
        )
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    options = dict(pairs)
    if unknown := [name for name in options if name not in ("endpoint_url", "region")]:
        raise ValueError(f"{unknown[0]!r} is no option of a bucket: endpoint_url and region are")
    endpoint = options.get("endpoint_url")
    if endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"):
        raise ValueError(f"endpoint_url {endpoint!r} is no http:// or https:// address")
    return Bucket(parts.netloc, parts.path.strip("/"), endpoint, options.get("region"))
