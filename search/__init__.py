"""Which architecture: search spaces, the differentiable search, the exact derivation, training and export.

Importing this package loads nothing heavy: `search.space`, `search.spec` and `search.derive` are torch-free, so that
the API can validate a job by itself. `search.load` gives a trained network back.
"""

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def load(path: "str | PathLike[str]") -> "nn.Module":
    """The trained network of what was downloaded, in evaluation mode: float32 pixels (N, channels, height, width) in
    [0, 1] to logits (N, classes).

    `path` is `weights.safetensors`, or `architecture.json` with the weights beside it, or the folder of both. Raises
    search.loading.NotLoadable (ValueError) where no network can be made of it, ModuleNotFoundError without torch.
    """
    try:
        loading = import_module("search.loading")  # by name: what imports this package must not reach torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"search.load needs {error.name}: pip install 'lutnas[library]'", name=error.name
        ) from error
    network: nn.Module = loading.load(path)
    return network
