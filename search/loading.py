"""A trained network from the files that a job left. No pickle: a file of weights runs no code.

Errors:
    NotLoadable (ValueError)   a path that no network can be made of; says what to do
"""

from os import PathLike
from pathlib import Path

import safetensors
from pydantic import ValidationError

from search.architecture import Architecture
from search.files import ARCHITECTURE, WEIGHTS
from search.network import Network, load_weights

DOWNLOAD = f"`lutnas architectures download ID --only {WEIGHTS}` fetches it"


class NotLoadable(ValueError):
    """A path that no network can be made of."""


def load(path: str | PathLike[str]) -> Network:
    """See `search.load`."""
    given = Path(path)
    if given.is_dir():
        weights, document = given / WEIGHTS, given / ARCHITECTURE
    elif given.suffix == ".json":
        weights, document = given.with_name(WEIGHTS), given
    else:
        weights, document = given, None
    if (document == given and not given.is_file()) or not weights.is_file():
        raise NotLoadable(_missing(given, weights))
    network = _network(weights)
    if document is not None and document.is_file() and _architecture(document) != network.architecture:
        raise NotLoadable(f"{document} and {weights} are of different networks: download both of one architecture")
    return network


def _missing(given: Path, weights: Path) -> str:
    if given.is_dir() or given.is_file():
        return f"{weights} is not there, and an architecture has no weights by itself: {DOWNLOAD}"
    return f"{given} is not there"


def _network(weights: Path) -> Network:
    try:
        return load_weights(weights)
    except safetensors.SafetensorError as error:
        raise NotLoadable(f"{weights} is damaged, or no safetensors file ({error}): {DOWNLOAD}") from None
    except ValidationError as error:
        raise NotLoadable(_of_another_version(weights, error)) from None
    except RuntimeError as error:  # torch's word for a state whose names or shapes do not fit
        raise NotLoadable(
            f"{weights}: its tensors are not those of its architecture. It was written by another version of lutnas, "
            "or its network has a head of its own: load it by the version that wrote it, or by "
            f"search.network.load_weights with that head ({' '.join(str(error).split())[:300]})"
        ) from None
    except ValueError as error:
        raise NotLoadable(f"{error}: {DOWNLOAD}") from None


def _architecture(document: Path) -> Architecture:
    try:
        return Architecture.model_validate_json(document.read_bytes())
    except ValidationError as error:
        raise NotLoadable(_of_another_version(document, error)) from None


def _of_another_version(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "architecture"
    return (
        f"{path}: holds no architecture that this version of lutnas knows ({place}: {first['msg']}): load it by the "
        "version that wrote it"
    )
