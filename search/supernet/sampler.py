"""From architecture parameters to the weights of one step."""

import torch
from torch import Tensor


def gumbel_softmax(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """p_LK = softmax((theta + G) / tau) with G = -log(-log u): FBNet, eq. 6. Rows sum to 1; -inf stays at 0."""
    uniform = torch.rand(theta_LK.shape, generator=generator).clamp_(1e-20, 1 - 1e-7)
    return torch.softmax((theta_LK - torch.log(-torch.log(uniform))) / temperature, dim=1)
