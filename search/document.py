"""What every document that people write shares: strict JSON, immutable, names of one form. Torch-free."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Document(BaseModel):
    """A strict JSON document: a field nobody knows is refused, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        """Where it can be named: a store that refuses a text does not say of which field."""
        for text in _texts(value):
            if (fault := text_fault(text)) is not None:
                raise ValueError(fault)
        return value


def text_fault(text: str) -> str | None:
    """Why no store may take `text`, as Postgres takes none with NUL or half a surrogate pair; None where all may."""
    if "\0" in text:
        return "text cannot hold the character NUL"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "text cannot hold half a surrogate pair"
    return None


def _texts(value: Any) -> Iterator[str]:
    """All of a field but those of documents in it, which have seen to their own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
