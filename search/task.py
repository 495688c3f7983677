"""What a network is trained for: the head that answers, the loss, and how good an answer is. Labels are those of
`ImageData`. Classification is the default; a library user gives `SearchRun` another.
"""

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from latency.operator import Operator
from search.blocks import build


class Task(Protocol):
    """One kind of answer to pictures. `metric_name` is what reports call the metric."""

    metric_name: str

    def head(self, operator: Operator) -> nn.Module:
        """The head over features (N, operator.c_in, operator.h, operator.w). With a `folded` as `search.blocks.Head`
        has it, it can be exported.
        """

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        """What training minimises, the mean over a batch; and, negative, what scores finalists."""

    def metric(self, output: Tensor, y_N: Tensor) -> Tensor:
        """How good each answer is, (N,); greater is better."""


class Classification:
    """Logits of classes, cross-entropy, accuracy."""

    metric_name = "accuracy"

    def head(self, operator: Operator) -> nn.Module:
        """1x1 convolution, mean over the picture, linear classifier."""
        return build(operator)

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        """Cross-entropy of logits (N, classes)."""
        return F.cross_entropy(output, y_N)

    def metric(self, output: Tensor, y_N: Tensor) -> Tensor:
        """1 where the greatest logit is the label's, else 0."""
        return (output.argmax(1) == y_N).float()


CLASSIFICATION = Classification()


def top5(output: Tensor, y_N: Tensor) -> Tensor:
    """1 where the label is among the five greatest of the logits (N, classes), else 0: (N,)."""
    return (output.topk(5, dim=1).indices == y_N[:, None]).any(1).float()
