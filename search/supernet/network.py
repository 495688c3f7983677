"""The whole supernet: stem, searchable layers, head, and the architecture parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.architecture import Architecture
from search.blocks import build
from search.network import Network
from search.space import Space
from search.supernet.reference import ReferenceLayer
from search.supernet.shared import SharedLayer

FORMS = {"shared": SharedLayer, "reference": ReferenceLayer}


class Supernet(nn.Module):
    """`theta_LK` holds a logit for each candidate of each layer; -inf where a layer has fewer than K candidates."""

    available_LK: Tensor

    def __init__(self, space: Space, form: str = "shared") -> None:
        super().__init__()
        self.space = space
        self.stem = build(space.stem_operator)
        self.layers = nn.ModuleList(FORMS[form](layer) for layer in space.layers)
        self.head = build(space.head_operator)
        most = max(len(layer.blocks) for layer in space.layers)
        available = torch.tensor([[k < len(layer.blocks) for k in range(most)] for layer in space.layers])
        self.register_buffer("available_LK", available, persistent=False)
        self.theta = nn.Parameter(torch.zeros(len(space.layers), most))

    @property
    def theta_LK(self) -> Tensor:
        """The architecture parameters with -inf where there is no candidate."""
        return self.theta.masked_fill(~self.available_LK, -torch.inf)

    @property
    def probabilities_LK(self) -> Tensor:
        """softmax of theta: how likely each candidate is, without noise."""
        return torch.softmax(self.theta_LK, dim=1)

    def weights(self) -> list[nn.Parameter]:
        """All parameters but theta."""
        return [parameter for name, parameter in self.named_parameters() if name != "theta"]

    def forward(self, x_NCHW: Tensor, p_LK: Tensor) -> Tensor:
        """Pixels (N, channels, height, width), candidate weights p_LK (rows sum to 1), to logits (N, classes)."""
        x_NCHW = self.stem(x_NCHW)
        for layer, p_K in zip(self.layers, p_LK, strict=True):
            x_NCHW = layer(x_NCHW, p_K)
        logits: Tensor = self.head(x_NCHW)
        return logits

    def inherit(self, indices: Sequence[int]) -> Network:
        """The network of one candidate a layer with copies of this supernet's weights and BatchNorm statistics."""
        network = Network(Architecture.from_indices(self.space, indices))
        network.stem.load_state_dict(self.stem.state_dict())
        network.head.load_state_dict(self.head.state_dict())
        for layer, index, block in zip(self.layers, indices, network.layers, strict=True):
            assert isinstance(layer, SharedLayer | ReferenceLayer)
            layer.copy_candidate(index, block)  # type: ignore[arg-type]  # a ModuleList forgets what it holds
        return network
