"""The whole supernet: stem, searchable layers, head, and the architecture parameters."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

from torch import Tensor, nn

from search.architecture import Architecture
from search.axes import Axes
from search.blocks import MobileBlock, build
from search.network import MakeHead, Network
from search.space import Space
from search.supernet.path import SharedPath
from search.supernet.reference import ReferenceLayer
from search.supernet.shared import SharedLayer
from search.supernet.theta import Sample, Theta

FORMS = {"shared": SharedLayer, "reference": ReferenceLayer}


class Supernet(nn.Module):
    """Every architecture of a space at once; `theta` chooses among them."""

    def __init__(self, space: Space, form: str = "shared", *, head: MakeHead = build) -> None:
        super().__init__()
        self.space, self.axes = space, Axes(space)
        self.stem = build(space.stem_operator)
        self.layers = nn.ModuleList(
            FORMS[form](layer, self.axes.precisions, self.axes.levels) for layer in space.layers
        )
        self.head = head(space.head_operator)
        self.theta = Theta(self.axes)

    def weights(self) -> list[nn.Parameter]:
        """All parameters but the architecture's."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("theta.")]

    def forward(self, x_NCHW: Tensor, sample: Sample) -> Tensor:
        """Pixels (N, channels, height, width), shares of the step (rows sum to 1), to logits (N, classes)."""
        x_NCHW = self.stem(x_NCHW)
        for layer, *shares in zip(self.layers, *sample, strict=True):
            x_NCHW = layer(x_NCHW, *shares)
        logits: Tensor = self.head(x_NCHW)
        return logits

    def inherit(self, indices: Sequence[int]) -> Network:
        """The network of one choice a layer with copies of this supernet's weights and BatchNorm statistics."""
        network = Network(Architecture.from_indices(self.space, indices), lambda _: deepcopy(self.head))
        network.stem.load_state_dict(self.stem.state_dict())
        for layer, index, block in zip(self.layers, indices, network.layers, strict=True):
            assert isinstance(layer, SharedLayer | ReferenceLayer)
            layer.copy_choice(index, block)  # type: ignore[arg-type]  # a ModuleList forgets what it holds
        return network

    def choose_survivors(self) -> None:
        """Decides anew which weights each level of zeros keeps; in the reference form each block by itself."""
        for module in self.modules():
            if isinstance(module, SharedPath) and module.is_sparse:
                module.choose_survivors()
            if isinstance(module, MobileBlock) and module.level.sparsity:
                module.choose_survivors()

    def sort_widths(self) -> Iterator[tuple[Tensor, int, Tensor]]:
        """(tensor, dimension, order) of all that has to move for narrow widths to hold the channels that carry most."""
        for module in self.modules():
            if isinstance(module, SharedPath):
                yield from module.sort_widths()
