"""The network of one architecture: to train, to keep, to load. Its input is float32 pixels in [0, 1]."""

from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from latency.operator import Operator
from latency.weights import reads_a_grid
from search.architecture import Architecture
from search.blocks import Block, build
from search.folding import Folded
from search.norms import Rounding
from search.quantizers.own_steps import OwnSteps
from search.randomness import seeded

MakeHead = Callable[[Operator], nn.Module]


class Network(nn.Module):
    """Stem, one block a layer, head. Parameters are named `stem.`, `layers.N.` and `head.`. `head` makes another
    than that of a classifier (search.task).
    """

    def __init__(self, architecture: Architecture, head: MakeHead = build) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = build(architecture.space.stem_operator)
        self.layers = nn.ModuleList(build(operator) for operator in architecture.layer_operators())
        self.head = head(architecture.space.head_operator)
        for module, comes in zip([*self.layers, self.head], reads_a_grid(architecture.operators())[1:], strict=True):
            module.rounds_input = not comes

    @classmethod
    def new(cls, architecture: Architecture, seed: int, head: MakeHead = build) -> "Network":
        """With new weights, the same for a seed wherever they are drawn."""
        with seeded(seed, "scratch"):
            return cls(architecture, head)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels (N, channels, height, width) to logits (N, classes)."""
        x_NCHW = self.stem(x_NCHW)
        for layer in self.layers:
            x_NCHW = layer(x_NCHW)
        logits: Tensor = self.head(x_NCHW)
        return logits

    @property
    def can_be_exported(self) -> bool:
        """Whether its head can be folded as the blocks can."""
        return hasattr(self.head, "folded")

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """The blocks in order, each with its name. Raises ValueError where the head is none that can be folded."""
        if not self.can_be_exported:
            raise ValueError(f"a {type(self.head).__name__} as head cannot be exported: give it a `folded` method")
        yield "stem", self.stem
        for number, layer in enumerate(self.layers):
            yield f"layers.{number}", layer  # type: ignore[misc]  # ModuleList forgets what it holds
        yield "head", self.head  # type: ignore[misc]  # as above: it folds

    def folded(self) -> dict[str, Folded]:
        """The weights of every block with BatchNorm folded in, by block name, as `latency.graph` wants them."""
        return {name: block.folded() for name, block in self.blocks()}


def save_weights(network: Network, path: Path) -> None:
    """Writes the network's state as safetensors, with the architecture in the file's metadata."""
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(state, path, metadata={"architecture": network.architecture.model_dump_json()})


def load_weights(path: Path, head: MakeHead = build) -> Network:
    """The network that `save_weights` wrote, in evaluation mode; raises ValueError on any other file. `head` makes
    the one it had, where that was not a classifier's.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        document = (file.metadata() or {}).get("architecture")
        if document is None:
            raise ValueError(f"{path}: holds weights but no architecture; was it written by lutnas?")
        network = Network(Architecture.model_validate_json(document), head)
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    take_own_steps(network, state)
    network.load_state_dict(state)
    return network.eval()


def take_own_steps(network: Network, state: dict[str, Tensor]) -> None:
    """Makes room for the steps that `state` has beside statistics (search.quantizers), and for no others."""
    for name, module in network.named_modules():
        if not isinstance(module, OwnSteps):
            continue
        size, scale = state.get(f"{name}.log_size"), state.get(f"{name}.log_scale")
        if size is not None and module.log_size is None:
            module.fix(torch.ones_like(size))
        elif scale is not None and module.log_scale is None:
            module.scale(torch.ones_like(scale), learnt=False)
        elif size is None and scale is None:
            module.leave_to_statistics()


def recalibrate(network: nn.Module, batches: Iterator[Tensor]) -> None:
    """Replaces the running statistics of every BatchNorm and rounding by plain means over `batches` of pixels, which
    should be of one size (search.batches.calibration); weights stay.
    """
    norms = running_norms(network)
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative mean is kept then
    network.train()
    with torch.no_grad(), seeded(0, "recalibration"):  # a head of one's own may drop out
        for x_NCHW in batches:
            network(x_NCHW)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    network.eval()


def hold_statistics(network: nn.Module) -> None:
    """Has a network in training use the running statistics of every BatchNorm and rounding, and leave them, until it is
    put into training the next time.
    """
    for norm in running_norms(network):
        norm.eval()


def running_norms(network: nn.Module) -> list[_BatchNorm | Rounding]:
    """What keeps running statistics: every BatchNorm, those of a head of one's own too, and rounding."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm | Rounding)]
