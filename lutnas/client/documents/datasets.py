"""Data sets."""

from typing import TypedDict


class Input(TypedDict):
    """Shape of one picture."""

    channels: int
    height: int
    width: int


class Dataset(TypedDict):
    """A data set that jobs may name."""

    id: str
    name: str
    input: Input
    classes: int
    class_names: list[str]
    examples: dict[str, int]
    content_hash: str
