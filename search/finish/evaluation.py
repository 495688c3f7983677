"""How good a network is on the test pictures."""

from dataclasses import dataclass

import torch

from search.batches import evaluation, tensors
from search.datasets.data import ImageData
from search.network import Network
from search.task import CLASSIFICATION, Classification, Task, top5

TOP = 5


@dataclass(frozen=True)
class Quality:
    """The task's metric, a mean over the test pictures; and of a classifier of more than five classes how often the
    label is among the five likeliest.
    """

    metric: float
    top5: float | None = None


def quality_of(network: Network, data: ImageData, task: Task = CLASSIFICATION) -> Quality:
    """Over all test pictures, in evaluation mode."""
    x_NCHW, y_N = tensors(data.x_test, data.y_test)
    with torch.inference_mode():
        output = torch.cat([network.eval()(batch) for batch in evaluation(x_NCHW)])
        metric = float(task.metric(output, y_N).double().mean())
        has_five = isinstance(task, Classification) and data.classes > TOP
        return Quality(metric, float(top5(output, y_N).double().mean()) if has_five else None)


def evaluated(network: Network, data: ImageData, task: Task = CLASSIFICATION) -> float:
    """The task's metric alone: of a classifier its accuracy."""
    return quality_of(network, data, task).metric
