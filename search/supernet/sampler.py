"""From architecture parameters to the shares of one step.

`gumbel`       every option gets a share: FBNet, eq. 6
`gumbel-hard`  one option, drawn; its gate alone carries a gradient (straight-through), and layers compute it alone
`two-path`     two options, drawn, share the step (ProxylessNAS, sec. 3.2.1)
`softmax`      shares without noise (DARTS)
`uniform`      one option, each open one as likely as the others; no gradient: for weight steps alone
"""

from collections.abc import Callable

import torch
from torch import Tensor

Sampler = Callable[[Tensor, float, torch.Generator], Tensor]


def gumbel_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """G = -log(-log u)."""
    uniform = torch.rand(shape, generator=generator).clamp_(1e-20, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


def gumbel_softmax(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """p_LK = softmax((theta + G) / tau): FBNet, eq. 6. Rows sum to 1; -inf stays at 0."""
    return torch.softmax((theta_LK + gumbel_noise(theta_LK.shape, generator)) / temperature, dim=1)


def gumbel_hard(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One-hot rows, drawn with the probabilities softmax(theta); the drawn gate has the gradient of its share."""
    soft = gumbel_softmax(theta_LK, temperature, generator)
    drawn = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
    return drawn * (1.0 + soft - soft.detach())


def two_path(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Two options a row, drawn without replacement; their shares are those of `gumbel_softmax` among the two."""
    noisy = theta_LK + gumbel_noise(theta_LK.shape, generator)
    drawn = noisy.topk(min(2, noisy.shape[1]), dim=1).indices
    others = torch.ones_like(noisy, dtype=torch.bool).scatter_(1, drawn, False)
    return torch.softmax(noisy.masked_fill(others, -torch.inf) / temperature, dim=1)


def plain_softmax(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """p_LK = softmax(theta / tau), without noise."""
    return torch.softmax(theta_LK / temperature, dim=1)


def uniform(theta_LK: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One-hot rows, drawn evenly among the open options whatever theta says: every path is trained alike (SPOS)."""
    return gumbel_hard(torch.where(theta_LK.isfinite(), 0.0, theta_LK).detach(), temperature, generator)


SAMPLERS: dict[str, Sampler] = {
    "uniform": uniform,
    "gumbel": gumbel_softmax,
    "gumbel-hard": gumbel_hard,
    "two-path": two_path,
    "softmax": plain_softmax,
}
