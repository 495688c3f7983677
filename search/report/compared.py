"""One network that stands in a comparison: what was searched, or what a baseline gave within the same budgets."""

from typing import Annotated

from pydantic import Field

from search.architecture import LayerChoice
from search.document import Document

SEARCHED = "search"  # the method of what the job itself derives


class ComparedRun(Document):
    """A trained network of one method at one operating point and seed.

    `share` is how far the budgets are on the way from what the cheapest architecture takes to the job's own
    (search.points): 1 is the job's own point. `predicted` is by the names of the budgets, in their
    units. Metrics are top-1 accuracies of the test pictures, before and after the training of the derived network;
    top-5 ones are None where there are no more than five classes, or the task is none of classification.
    """

    method: str
    share: Annotated[float, Field(gt=0)]
    seed: int
    layers: tuple[LayerChoice, ...]
    predicted: dict[str, float]
    before: float
    after: float
    top5_before: float | None = None
    top5_after: float | None = None
