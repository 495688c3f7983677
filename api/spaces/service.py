"""Search spaces: the presets and people's own, immutable.

Errors:
    ChoicesRefused (DomainError)   422  choices-refused
    SpaceExists (DomainError)   409  space-exists
    SpaceUnknown (NotFound)     404  unknown-space
"""

from collections.abc import Sequence
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
from search.choices import Choices, Sparsity
from search.space import Space, preset, preset_names

cached_preset = lru_cache(maxsize=None)(preset)


class SpaceExists(DomainError):
    """The name is taken by another space."""

    status = 409
    slug = "space-exists"
    title = "Space exists"


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
        if standing is not None and Space.model_validate(standing.document) == space:
            return standing, False
    wrong = FieldProblem(
        "name", f"{space.name!r} is the name of another space: spaces do not change, so take another name"
    )
    raise SpaceExists(f"There is a space {space.name!r} already.", errors=[wrong])


def find(session: Session, owner: Owner, name: str) -> Space | None:
    """A preset, or a space that `owner` sees."""
    if name in preset_names():
        return cached_preset(name)
    document = cast(SearchSpace.document, Text).label("document")
    named = select(SearchSpace.owner, SearchSpace.name, document).where(
        SearchSpace.owner.in_(owner.visible), SearchSpace.name == name
    )
    rows = nearest(owner, session.execute(named))
    return _parsed(rows[0].document) if rows else None


@lru_cache(maxsize=32)  # by what it says: jobs come by the dozen on one space, whose layers take a while to lay out
def _parsed(document: str) -> Space:
    return Space.model_validate_json(document)


def get(session: Session, owner: Owner, name: str) -> Space:
    """The same; raises SpaceUnknown."""
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


def with_choices(space: Space, choices: Choices | None) -> Space:
    """A space that offers `choices`, where they are given, instead of its own. Raises ChoicesRefused."""
    try:
        return space.offering(choices)
    except ValidationError as error:
        raise _refused(space, error) from error


def _refused(space: Space, error: ValidationError) -> ChoicesRefused:
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else "choices"
    wrong = FieldProblem(where, str(first["msg"]).removeprefix("Value error, "))
    return ChoicesRefused(f"{space.name} cannot offer these choices: {wrong.detail}", errors=[wrong])


def list_page(
    session: Session, owner: Owner, *, cursor: str | None, limit: int
) -> tuple[list[tuple[Space, datetime | None]], str | None]:
    """Presets and the spaces that `owner` sees with the time of making (None: preset), by name, each name once."""
    after = "" if cursor is None else str(decode_cursor(cursor, str))
    seen = session.scalars(
        select(SearchSpace)
        .where(SearchSpace.owner.in_(owner.visible), SearchSpace.name > after)
        .order_by(SearchSpace.name)
        .limit((limit + 1) * len(owner.visible))
    )
    own = nearest(owner, seen)
    rows: list[tuple[Space, datetime | None]] = [(cached_preset(name), None) for name in preset_names() if name > after]
    rows += [(Space.model_validate(row.document), row.created_at) for row in own]
    rows.sort(key=lambda row: row[0].name)
    return rows[:limit], encode_cursor(rows[limit - 1][0].name) if len(rows) > limit else None


def _own(session: Session, owner: Owner, name: str) -> SearchSpace | None:
    named = select(SearchSpace).where(SearchSpace.owner.in_(owner.visible), SearchSpace.name == name)
    return next(iter(nearest(owner, session.scalars(named))), None)
