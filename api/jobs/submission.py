"""What a job needs, looked up before anything is spent: all that is wrong is told in one answer."""

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.architectures.models import DerivedArchitecture
from api.artifacts import service as artifacts
from api.artifacts.models import Artifact
from api.auth.callers import Owner
from api.datasets import service as datasets
from api.datasets.schemas import DatasetView
from api.jobs.assessment import Assessment
from api.jobs.deriving import deriving
from api.jobs.feasibility import assess_constraints, elsewhere
from api.jobs.models import SearchJob
from api.requests.schemas import MOST_OPERATORS
from api.spaces import service as spaces
from search.architecture import Architecture, LayerChoice
from search.baselines import misfits
from search.choices import Precision
from search.given import NotOffered, space_of
from search.points import operating_points
from search.pretrained import PRETRAINED, misfit
from search.space import Space
from search.spec import FEWEST, SearchSpec

PLACE = "search.pretrained"
GIVEN = "hawq.architecture"


def assess(session: Session, owner: Owner, spec: SearchSpec) -> Assessment:
    """Looks up all that `spec` names and whether its budgets can be held. A job is made of its owner's things alone."""
    teams, owner = owner.teams, owner.alone()
    found = Assessment(dataset=datasets.describe(session, owner, spec.dataset))
    space = spaces.find(session, owner, spec.space)
    if space is None:
        told = elsewhere(session, spaces.find, teams, spec.space) or "GET /v1/spaces (`lutnas spaces list`) lists them"
        found.refuse("unknown-space", "space", f"there is no space {spec.space!r}: {told}")
    else:
        found.space = _offering(session, owner, found, space, spec)
    if found.dataset is None:
        told = (
            elsewhere(session, datasets.find, teams, spec.dataset)
            or "GET /v1/datasets (`lutnas datasets list`) lists them"
        )
        found.refuse("unknown-dataset", "dataset", f"there is no data set {spec.dataset!r}: {told}")
    if found.space is not None and found.dataset is not None:
        _fit(found, found.space, found.dataset)
    if found.dataset is not None and spec.strategy == "differentiable":
        _split(found, spec.search.sides(found.dataset.examples.train))
    if found.space is not None and spec.strategy == "differentiable" and found.space.size == 1:
        told = f"{found.space.name} leaves nothing to choose, each layer has one choice: offer it more by `choices`"
        found.refuse("space-does-not-fit", "space", told)
    if spec.search.pretrained is not None:
        found.pretrained = _pretrained(session, owner, found, spec.search.pretrained, spec.search.supernet)
    assess_constraints(session, owner, found, spec.constraints, teams=teams)
    if spec.on_device is not None:
        _timed(found, spec)
    if found.space is not None and spec.baselines and not found.errors:
        _baselines(found, found.space, spec)
    return found


def _timed(found: Assessment, spec: SearchSpec) -> None:
    """Notes what no agent could time, and what would not be compared within the budgets as the device tightens them."""
    for number, constraint in enumerate(spec.constraints):
        table = found.tables.get(number)
        if table is not None and constraint.metric == "latency" and table.batch != 1:
            told = f"the table {table.id} is of batch {table.batch}, and networks are timed at batch 1"
            found.refuse("not-to-be-timed", "on_device", f"{told}: name another table, or remove on_device")
    if found.space is not None:
        _can_be_timed(found, found.space)
    if spec.compared:
        told = "cannot stand beside baselines or a comparison, whose networks no device times: remove one of the two"
        found.refuse("not-to-be-timed", "on_device", told)


def _can_be_timed(found: Assessment, space: Space) -> None:
    offered = {*space.choices.precisions, Precision.parse(space.choices.ends)}
    if few := sorted(precision.name for precision in offered if precision.activation_bits < 8):
        told = f"no runtime computes {', '.join(few)}, which {space.name} offers"
        found.refuse("not-to-be-timed", "on_device", f"{told}: remove on_device, or those from choices.precision")
    if len(space.layers) + 2 > MOST_OPERATORS:
        told = f"{space.name} has {len(space.layers)} layers, and networks of up to {MOST_OPERATORS - 2} are timed"
        found.refuse("not-to-be-timed", "on_device", f"{told}: remove on_device")


def _baselines(found: Assessment, space: Space, spec: SearchSpec) -> None:
    """Notes which cannot give a network within the budgets at every point of the comparison."""
    budgets = [found.budgets[number] for number in range(len(spec.constraints))]
    with deriving():
        wrong = list(misfits(spec.baselines, space, operating_points(budgets, spec.comparison.points)))
    for number, reason in wrong:
        found.refuse("baseline-does-not-apply", f"baselines[{number}]", reason)


def _seen(session: Session, owner: Owner, found: Assessment, job_id: str, place: str) -> SearchJob | None:
    """The job that `place` names; notes where the owner has none of that id, or this version cannot read it."""
    job = session.get(SearchJob, job_id)
    if job is None or not owner.sees(job.owner):
        found.refuse("unknown-job", place, f"there is no job {job_id!r}: GET /v1/search-jobs lists yours")
        return None
    try:
        SearchSpec.model_validate(job.spec)
        Space.model_validate(job.space)
    except ValidationError as error:
        found.refuse("job-outdated", place, f"{job_id} is of another version of lutnas ({error.errors()[0]['msg']})")
        return None
    return job


def _pretrained(session: Session, owner: Owner, found: Assessment, job_id: str, form: str) -> Artifact | None:
    """The weights that `job_id` left; notes why they cannot be started from."""
    job = _seen(session, owner, found, job_id, PLACE)
    if job is None:
        return None
    weights = {artifact.name: artifact for artifact in artifacts.of_job(session, job_id)}.get(PRETRAINED)
    if weights is None:
        found.refuse("no-pretrained-weights", PLACE, f"{job_id} is {job.state} and left no {PRETRAINED}")
        return None
    wrong = found.space and misfit(
        found.space, form, Space.model_validate(job.space), SearchSpec.model_validate(job.spec).search.supernet
    )
    if wrong:
        found.refuse("pretrained-does-not-fit", PLACE, f"the weights of {job_id} do not fit: {wrong}")
    return weights


def _derived(session: Session, owner: Owner, found: Assessment, job_id: str) -> Architecture | None:
    """What `job_id` derived; notes why there is nothing."""
    job = _seen(session, owner, found, job_id, GIVEN)
    if job is None:
        return None
    row = session.scalars(select(DerivedArchitecture).where(DerivedArchitecture.job_id == job_id)).one_or_none()
    if row is None:
        told = f"{job_id} is {job.state} and derived no architecture: name a job that succeeded"
        found.refuse("no-derived-architecture", GIVEN, told)
        return None
    found.architecture = row
    layers = [{name: layer[name] for name in LayerChoice.model_fields if name in layer} for layer in row.layers]
    return Architecture.model_validate({"space": job.space, "layers": layers})


def _offering(session: Session, owner: Owner, found: Assessment, space: Space, spec: SearchSpec) -> Space | None:
    """The space that the job searches; notes why there is none."""
    given = None
    if spec.hawq is not None and spec.hawq.architecture is not None:
        given = _derived(session, owner, found, spec.hawq.architecture)
        if given is None:
            return None
    try:
        return space_of(spec, space, given)
    except NotOffered as error:
        found.refuse("space-does-not-fit", error.field, error.wrong)
    except ValueError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        found.refuse("space-does-not-fit", "choices", f"{space.name} cannot offer them: {told}")
    return None


def _split(found: Assessment, sides: tuple[int, int]) -> None:
    if min(sides) < FEWEST:
        told = f"leaves {sides[0]} training pictures for weights and {sides[1]} for theta, and each needs {FEWEST}"
        found.refuse("too-few-pictures", "search.theta_share", told)


def _fit(found: Assessment, space: Space, dataset: DatasetView) -> None:
    if space.input != dataset.input:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} takes pictures of {space.input}, those of {dataset.name} are {dataset.input}: "
            "make a space with that input",
        )  # fmt: skip
    if space.classes != dataset.classes:
        found.refuse(
            "space-does-not-fit", "space",
            f"{space.name} tells {space.classes} classes apart, {dataset.name} has {dataset.classes}: "
            "make a space with as many",
        )  # fmt: skip
