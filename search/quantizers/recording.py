"""What stands in front of each BatchNorm of a network while pictures pass through it, gradients included."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from search.norms import NormAct

Take = Callable[[nn.BatchNorm2d, Tensor], None]


class _BatchNorms(TorchFunctionMode):
    """Tells of each call of `F.batch_norm` with the running mean of one of `norms`."""

    def __init__(self, norms: list[nn.BatchNorm2d], take: Take) -> None:
        super().__init__()
        self.norms = {id(norm.running_mean): norm for norm in norms}
        self.take = take

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm and id(args[1]) in self.norms:
            self.take(self.norms[id(args[1])], args[0])
        return func(*args, **(kwargs or {}))


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Every BatchNorm by name, in the order in which pictures meet them."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


@contextmanager
def in_front_of_norms(network: nn.Module, take: Take) -> Iterator[None]:
    """Within it `take` is called with each BatchNorm of `network` and its input (N, C, H, W). Blocks call a NormAct by
    its `activate` and any other BatchNorm by torch's function, so that no hook of a module would see them.
    """
    norms = list(norms_of(network).values())
    watched = [norm for norm in norms if isinstance(norm, NormAct)]
    for norm in watched:
        norm.activate = _telling(norm, take)  # type: ignore[method-assign]  # of this instance, until the end
    try:
        with _BatchNorms([norm for norm in norms if not isinstance(norm, NormAct)], take):
            yield
    finally:
        for norm in watched:
            del norm.activate


def _telling(norm: NormAct, take: Take) -> Callable[..., Tensor]:
    activate = norm.activate

    def tell(y_NCHW: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        take(norm, y_NCHW)
        return activate(y_NCHW, *args, **kwargs)

    return tell


def normed(norm: nn.BatchNorm2d, y_NCHW: Tensor) -> Tensor:
    """`y` after the BatchNorm by its running statistics, no ReLU yet."""
    return F.batch_norm(y_NCHW, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
