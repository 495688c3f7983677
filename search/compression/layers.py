"""The layers of a module whose weights are compressed, by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Weighted = nn.Linear | nn.Conv2d
Loss = Callable[[nn.Module], Tensor]  # of a module on some pictures; a scalar, the mean over them


def weighted(model: nn.Module) -> dict[str, Weighted]:
    """Every linear layer and convolution, in order. Raises ValueError where there is none."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, Weighted)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer and no convolution to compress")
    return found


@contextmanager
def inputs_seen(model: nn.Module, see: Callable[[str, Tensor], Tensor | None]) -> Iterator[None]:
    """Within it each layer of `weighted` shows what it is about to read, and reads what `see` gives instead, if any."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], Tensor | None]:
        return lambda module, arguments: see(name, arguments[0])

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in weighted(model).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def multiply_adds(model: nn.Module, x_NCHW: Tensor) -> dict[str, int]:
    """Multiply-adds of each layer for one picture, groups counted; of `x_NCHW` only the shape of a picture matters."""
    found = dict[str, int]()

    def count(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, _: Any, out: Tensor) -> None:
            assert isinstance(layer, Weighted)
            found[name] = out[0].numel() // len(layer.weight) * layer.weight.numel()

        return hook

    handles = [layer.register_forward_hook(count(name)) for name, layer in weighted(model).items()]
    try:
        with torch.inference_mode():
            model(x_NCHW[:1])
    finally:
        for handle in handles:
            handle.remove()
    return found
