"""Steps that a grid has beside statistics: one that was found and stays, or a share of theirs that is learnt.

What is learnt is the logarithm of a step over the one that statistics would take now. So the grid goes along at once
where training moves the scale of what it rounds, and the loss moves the rest. Li 2020 ("Additive powers-of-two
quantization", sec. 2.3) normalises weights for the same reason. A step that had to follow by its own gradient alone was
left behind (docs/concepts/quantization.md).
"""

from collections.abc import Iterator

from torch import Tensor, nn

from search.kernels.learnt import LEAST_SIZE


class OwnSteps(nn.Module):
    """The steps () or (O,) of one grid, or of one for each row. At most one of the two is there: `log_size`, of steps
    that stay, or `log_scale`, of steps over those of statistics.
    """

    log_size: nn.Parameter | None
    log_scale: nn.Parameter | None

    def leave_to_statistics(self) -> None:
        """Has no steps of its own."""
        self.register_parameter("log_size", None)
        self.register_parameter("log_scale", None)

    def sizes_by_statistics(self, bits: int) -> Tensor:
        """The steps that statistics take, without gradient."""
        raise NotImplementedError

    @property
    def has_own(self) -> bool:
        """Whether statistics alone do not size the grid."""
        return self.log_size is not None or self.log_scale is not None

    def own_sizes(self, bits: int) -> Tensor:
        """The steps that it has."""
        if self.log_size is not None:
            return self.log_size.exp()
        assert self.log_scale is not None
        return self.log_scale.exp() * self.sizes_by_statistics(bits).clamp_min(LEAST_SIZE)

    def fix(self, sizes: Tensor) -> None:
        """Sets steps that stay."""
        self.leave_to_statistics()
        self.log_size = nn.Parameter(sizes.detach().clamp_min(LEAST_SIZE).log(), requires_grad=False)

    def scale(self, scales: Tensor, *, learnt: bool) -> None:
        """Sets steps as so many times those of statistics."""
        self.leave_to_statistics()
        self.log_scale = nn.Parameter(scales.detach().log(), requires_grad=learnt)

    def learn(self, bits: int) -> None:
        """Has its steps learn from where they are."""
        if self.log_scale is not None:
            self.log_scale.requires_grad_(True)
        else:
            by_statistics = self.sizes_by_statistics(bits).clamp_min(LEAST_SIZE)
            self.scale((self.own_sizes(bits) if self.has_own else by_statistics) / by_statistics, learnt=True)


def own_steps_of(network: nn.Module) -> Iterator[OwnSteps]:
    """All that may have steps of their own."""
    return (module for module in network.modules() if isinstance(module, OwnSteps))
