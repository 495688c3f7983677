"""What a job needs, looked up before anything is spent: all that is wrong is told in one answer."""

from sqlalchemy.orm import Session

from api.datasets import service as datasets
from api.datasets.schemas import DatasetView
from api.jobs.assessment import Assessment
from api.jobs.feasibility import assess_constraints
from api.spaces import service as spaces
from search.space import Space
from search.spec import SearchSpec


def assess(session: Session, owner: str, spec: SearchSpec) -> Assessment:
    """Looks up all that `spec` names and whether its budgets can be held."""
    found = Assessment(dataset=datasets.describe(session, owner, spec.dataset))
    space = spaces.find(session, owner, spec.space)
    if space is None:
        found.refuse("unknown-space", "space", f"there is no space {spec.space!r}; GET /v1/spaces lists them")
    else:
        found.space = _offering(found, space, spec)
    if found.dataset is None:
        found.refuse(
            "unknown-dataset", "dataset", f"there is no data set {spec.dataset!r}; GET /v1/datasets lists them"
        )
    if found.space is not None and found.dataset is not None:
        _fit(found, found.space, found.dataset)
    assess_constraints(session, owner, found, spec.constraints)
    return found


def _offering(found: Assessment, space: Space, spec: SearchSpec) -> Space | None:
    """The space with the job's choices; notes why it cannot have them."""
    try:
        return space.offering(spec.choices)
    except ValueError as error:
        found.refuse("space-does-not-fit", "choices", f"{space.name} cannot offer them: {error}")
        return None


def _fit(found: Assessment, space: Space, dataset: DatasetView) -> None:
    if space.input != dataset.input:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} takes pictures of {space.input}, those of {dataset.name} are {dataset.input}: "
            "POST a space of that shape",
        )  # fmt: skip
    if space.classes != dataset.classes:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} tells {space.classes} classes apart, {dataset.name} has {dataset.classes}: "
            "POST a space with as many",
        )  # fmt: skip
