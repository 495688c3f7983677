"""What moves the weights of the derived network, and the steps of its grids where they are learnt."""

import torch

from search.network import Network
from search.quantizers.learning import LEARNING_RATE, learn_steps, leave_steps
from search.quantizers.own_steps import own_steps_of
from search.spec import Finish

WEIGHT_DECAY = 5e-4


def optimizers(network: Network, settings: Finish) -> tuple[torch.optim.SGD, torch.optim.Adam | None]:
    """SGD for the weights, Adam for learnt steps where there are any. Gives the network steps of its own where
    `settings` ask for them.
    """
    if settings.quantizer == "statistics":
        leave_steps(network)
    else:
        learn_steps(network, settings.quantizer)
    scales = [module.log_scale for module in own_steps_of(network) if module.log_scale is not None]
    steps = [p for p in scales if p.requires_grad]
    weights = [p for p in network.parameters() if p.requires_grad and all(p is not step for step in steps)]
    decayed = [p for p in weights if p.ndim > 1]
    plain = [p for p in weights if p.ndim <= 1]  # BatchNorm and biases are not shrunk
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    sgd = torch.optim.SGD(groups, settings.lr, momentum=0.9, nesterov=True)
    return sgd, torch.optim.Adam(steps, LEARNING_RATE) if steps else None
