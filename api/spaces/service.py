"""Search spaces: the presets and people's own, immutable.

Errors:
    ChoicesRefused (DomainError)   422  choices-refused
    SpaceExists (DomainError)   409  space-exists
    SpaceOutdated (DomainError) 409  space-outdated
    SpaceUnknown (NotFound)     404  unknown-space
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.auth.callers import Owner, nearest
from api.db.session import insert
from api.errors import DomainError, FieldProblem, NotFound
from api.ids import new_id
from api.paging import decode_cursor, encode_cursor
from api.spaces.models import SearchSpace
from api.spaces.schemas import SpaceSummary
from search.choices import Choices, Sparsity
from search.space import Space, preset, preset_names

MOST_DRAWN_LAYERS = 100_000  # of all architectures of one answer together: some 25 MB
_MOST_SUMMARIES = 10_000
_SUMMARIES: dict[str, SpaceSummary] = {}  # by id, of this process
_logger = logging.getLogger(__name__)
cached_preset = lru_cache(maxsize=None)(preset)


class SpaceExists(DomainError):
    """The name is taken by another space."""

    status = 409
    slug = "space-exists"
    title = "Space exists"


class SpaceOutdated(DomainError):
    """A version before took what this one refuses."""

    status = 409
    slug = "space-outdated"
    title = "Space outdated"


class ChoicesRefused(DomainError):
    """The space cannot offer these choices."""

    status = 422
    slug = "choices-refused"
    title = "Choices refused"


class SpaceUnknown(NotFound):
    """No space of that name."""

    slug = "unknown-space"
    title = "Unknown space"


def create(session: Session, owner: Owner, space: Space) -> tuple[SearchSpace, bool]:
    """Keeps a space. The very same one answers again: then the second part is False. Raises SpaceExists."""
    if space.name not in preset_names():
        row = SearchSpace(
            id=new_id("spc"),
            owner=owner.name,
            name=space.name,
            document=space.model_dump(mode="json"),
            created_at=datetime.now(UTC),
        )
        if insert(session, row):
            about(session, row.id)
            return row, True
        standing = _own(session, owner.alone(), space.name)
        if standing is not None and _readable(standing) == space:
            return standing, False
    wrong = FieldProblem(
        "name", f"{space.name!r} is the name of another space: spaces do not change, so take another name"
    )
    raise SpaceExists(f"There is a space {space.name!r} already.", errors=[wrong])


def find(session: Session, owner: Owner, name: str) -> Space | None:
    """A preset, or a space that `owner` sees. Raises SpaceOutdated."""
    if name in preset_names():
        return cached_preset(name)
    document = cast(SearchSpace.document, Text).label("document")
    named = select(SearchSpace.owner, SearchSpace.name, document).where(
        SearchSpace.owner.in_(owner.visible), SearchSpace.name == name
    )
    rows = nearest(owner, session.execute(named))
    try:
        return _parsed(rows[0].document) if rows else None
    except ValidationError as error:
        told = f"The space {name!r} is of a version that took what this one refuses: {_first(error).detail}."
        raise SpaceOutdated(f"{told} Bring it anew, mended, under another name.") from error


@lru_cache(maxsize=32)  # by what it says: jobs come by the dozen on one space, whose layers take a while to lay out
def _parsed(document: str) -> Space:
    return Space.model_validate_json(document)


def get(session: Session, owner: Owner, name: str) -> Space:
    """The same; raises SpaceUnknown, SpaceOutdated."""
    space = find(session, owner, name)
    if space is None:
        raise SpaceUnknown(f"There is no space {name!r}: `GET /v1/spaces` lists them.")
    return space


def offered(
    session: Session, owner: Owner, name: str, precision: Sequence[str] | None, width: Sequence[float] | None,
    sparsity: Sequence[str] | None = None,
) -> Space:  # fmt: skip
    """A space that offers these precisions, widths and levels of zeros, where they are given, instead of its own.
    Raises SpaceUnknown, ChoicesRefused.
    """
    space = get(session, owner, name)
    given: dict[str, Any] = {
        name: value for name, value in (("precision", precision), ("width", width)) if value is not None
    }
    if sparsity is not None:
        try:
            given["sparsity"] = Sparsity.of(sparsity).model_dump()
        except ValueError as error:
            detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            wrong = FieldProblem("sparsity", detail.removeprefix("Value error, "))
            raise ChoicesRefused(f"{space.name} cannot offer these choices: {wrong.detail}", errors=[wrong]) from error
    if not given:
        return space
    try:
        return with_choices(space, Choices.model_validate({**space.choices.model_dump(), **given}))
    except ValidationError as error:
        raise _refused(space, error) from error


def too_many_drawn(space: Space, count: int, field: str) -> Iterator[FieldProblem]:
    """What is wrong, in `field`, with drawing `count` architectures of `space`: one answer has to hold them."""
    if count > (most := max(1, MOST_DRAWN_LAYERS // len(space.layers))):
        yield FieldProblem(field, f"at most {most} of {space.name}, which has {len(space.layers)} layers")


def with_choices(space: Space, choices: Choices | None) -> Space:
    """A space that offers `choices`, where they are given, instead of its own. Raises ChoicesRefused."""
    try:
        return space.offering(choices)
    except ValidationError as error:
        raise _refused(space, error) from error


def _first(error: ValidationError) -> FieldProblem:
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else "choices"
    return FieldProblem(where, str(first["msg"]).removeprefix("Value error, "))


def _refused(space: Space, error: ValidationError) -> ChoicesRefused:
    wrong = _first(error)
    return ChoicesRefused(f"{space.name} cannot offer these choices: {wrong.detail}", errors=[wrong])


def list_page(
    session: Session, owner: Owner, *, cursor: str | None, limit: int
) -> tuple[list[SpaceSummary], str | None]:
    """Presets and the spaces that `owner` sees, by name, each name once. What is outdated is left out: reading it by
    its name tells why. One space is laid out at a time: great ones take megabytes.
    """
    after = "" if cursor is None else str(decode_cursor(cursor, str))
    seen = session.scalars(
        select(SearchSpace)
        .where(SearchSpace.owner.in_(owner.visible), SearchSpace.name > after)
        .order_by(SearchSpace.name)
        .limit((limit + 1) * len(owner.visible))
    )
    named: dict[str, SearchSpace | None] = {row.name: row for row in nearest(owner, seen)}
    named |= {name: None for name in preset_names() if name > after}
    names = sorted(named)
    found = list[SpaceSummary]()
    for name in names[:limit]:
        row = named[name]
        summary = SpaceSummary.of(cached_preset(name), None) if row is None else _summary(row)
        if summary is not None:
            found.append(summary)
    return found, encode_cursor(names[limit - 1]) if len(names) > limit else None


def _summary(row: SearchSpace) -> SpaceSummary | None:
    """What the list says of a space; None of one that is outdated. Great ones take half a second to lay out, and do not
    change: each is laid out once.
    """
    summary = _SUMMARIES.get(row.id)
    if summary is None and (space := _readable(row)) is not None:
        if len(_SUMMARIES) >= _MOST_SUMMARIES:
            _SUMMARIES.clear()
        summary = _SUMMARIES[row.id] = SpaceSummary.of(space, row.created_at)
    return summary


def _readable(row: SearchSpace) -> Space | None:
    try:
        return Space.model_validate(row.document)
    except ValidationError as error:
        _logger.warning("the space %s of %s is outdated: %s", row.name, row.owner, _first(error).detail)
        return None


def _own(session: Session, owner: Owner, name: str) -> SearchSpace | None:
    named = select(SearchSpace).where(SearchSpace.owner.in_(owner.visible), SearchSpace.name == name)
    return next(iter(nearest(owner, session.scalars(named))), None)
