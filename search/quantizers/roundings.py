"""AdaRound for a whole network: layer by layer in order, each learns which way its weights are rounded from what the
rounded network gives it to read and what the float one answers (Nagel 2020, sec. 3.3 and 3.4).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from search.kernels.learnt import LEAST_SIZE
from search.network import Network
from search.norms import NormAct
from search.quantizers.adaround import Rounds, adaround
from search.quantizers.recording import normed
from search.quantizers.rows import RoundedConv, RoundedLinear

ROUNDS = Rounds(steps=300, batch=32)  # of a layer: a network of ten takes 5 s on pictures of 8x8
MOST_BYTES = 2**28  # of what one layer reads or gives of all pictures; some such tensors are alive at once
Layer = RoundedConv | RoundedLinear
LAYERS = (F.conv2d, F.linear)


class Call(NamedTuple):
    """One layer as a network called it."""

    function: Callable[..., Tensor]
    read: Tensor
    weight: Tensor
    others: tuple[Any, ...]
    options: dict[str, Any]

    def __call__(self, read: Tensor, weight: Tensor) -> Tensor:
        """The same layer of something else."""
        return self.function(read, weight, *self.others, **self.options)


class _Calls(TorchFunctionMode):
    """Keeps the call number `wanted` of those of LAYERS."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted, self.count = wanted, 0
        self.found: Call | None = None

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in LAYERS:
            if self.count == self.wanted:
                self.found = Call(func, args[0], args[1], tuple(args[2:]), kwargs or {})
            self.count += 1
        return func(*args, **(kwargs or {}))


def call_of(network: Network, number: int, x_NCHW: Tensor) -> Call:
    """What layer `number` of `layers_of` reads and computes when `network` sees `x`. Layers are called in the order in
    which they are defined, each once.
    """
    with torch.no_grad(), _Calls(number) as calls:
        network(x_NCHW)
    found: Call | None = calls.found
    assert calls.count == len(layers_of(network)), "a layer was called in another way"
    assert found is not None
    return found


class _Sizes(TorchFunctionMode):
    """Keeps how many values the largest tensor has that one of LAYERS reads or gives."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 1

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        if func in LAYERS:
            self.most = max(self.most, args[0].numel(), given.numel())
        return given


def _most_values(network: Network, x_1CHW: Tensor) -> int:
    """Of one picture, of the largest tensor that a layer reads or gives."""
    with torch.no_grad(), _Sizes() as sizes:
        network(x_1CHW)
    return int(sizes.most)


def layers_of(network: Network) -> list[tuple[Layer, nn.BatchNorm2d | None, int]]:
    """All convolutions and the last layer in order, with the BatchNorm after each and the bits of its weights."""
    found = list[tuple[Layer, nn.BatchNorm2d | None, int]]()
    for _, block in network.blocks():
        layers = [module for module in block.children() if isinstance(module, RoundedConv | RoundedLinear)]
        norms = [module for module in block.children() if isinstance(module, nn.BatchNorm2d)]
        rest = [None] * (len(layers) - len(norms))
        found += [(*pair, block.operator.weight_bits) for pair in zip(layers, [*norms, *rest], strict=True)]
    return found


def learn_roundings(
    rounded: Network, plain: Network, batches: Sequence[Tensor], *, seed: int, rounds: Rounds = ROUNDS
) -> None:
    """Puts the weights of `rounded` on their grids, up or down as AdaRound finds over `batches` of pixels, or as many
    of them as large layers leave room for; rows keep their steps from then on. `plain` is the same architecture in
    float, with the same weights. Both are in evaluation mode afterwards.
    """
    rounded.eval(), plain.eval()
    x_NCHW = torch.cat(list(batches))
    x_NCHW = x_NCHW[: max(rounds.batch, MOST_BYTES // (x_NCHW.element_size() * _most_values(plain, x_NCHW[:1])))]
    for number, ((layer, _, bits), (_, norm, _)) in enumerate(zip(layers_of(rounded), layers_of(plain), strict=True)):
        if bits == 32:
            continue
        ours, theirs = call_of(rounded, number, x_NCHW), call_of(plain, number, x_NCHW)
        is_kept = theirs.weight != 0  # the zeros of a sparse layer stay

        def answer(read: Tensor, weight: Tensor) -> Tensor:
            return _behind(norm, theirs(read, weight * is_kept))  # noqa: B023  # called before the loop goes on

        with torch.no_grad():
            outputs = answer(theirs.read, theirs.weight)
        sizes = layer.step_sizes(bits).clamp_min(LEAST_SIZE)
        settings = replace(rounds, batch=min(rounds.batch, len(x_NCHW)))
        found = adaround(theirs.weight, sizes, ours.read, outputs, bits=bits, layer=answer, seed=seed, rounds=settings)
        with torch.no_grad():
            layer.weight.copy_(torch.where(is_kept, found.weight, layer.weight))
        layer.fix(sizes)


def _behind(norm: nn.BatchNorm2d | None, y: Tensor) -> Tensor:
    """What a layer gives after its BatchNorm and ReLU, where it has them."""
    if norm is None:
        return y
    out = normed(norm, y)
    return out.relu() if isinstance(norm, NormAct) else out
