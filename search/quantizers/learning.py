"""Has the steps of a network's grids learn with its weights, from where they are: from statistics, in a new network.

What is learnt is the logarithm of a step over that of statistics (search.quantizers.own_steps), by Adam: each change is
a small share of the step, whatever the bits. Those of activations have gradients of 1e-9 to 1e-7, about Adam's eps
(1e-8), so that they learn more slowly than rows of weights. With an eps of 1e-15 a network in 2 bits lost 1.6 points
(as `joint_quality` trains, two seeds), one in 4 bits 0.6, which is within its luck. Esser 2020 scales the gradient of
the step itself, for steps that begin at 2 <|x|> / sqrt(top); ours begin near the least squared error, several times
finer at 8 bits, where one step of SGD took rows of weights past 0. And PACT's clip begins where a large one would be
shrunk to, so it needs no decay.
"""

from search.blocks import Head, MobileBlock, Skip, Stem
from search.kernels.learnt import Learning
from search.network import Network
from search.norms import NormAct, Rounding
from search.quantizers.own_steps import own_steps_of
from search.quantizers.rows import RoundedConv, RoundedLinear

LEARNING_RATE = 0.003  # of a step's logarithm, times the schedule of the weights


def leave_steps(network: Network) -> None:
    """From here on no step learns; those that did stay the shares that they are."""
    for module in own_steps_of(network):
        if module.log_scale is not None:
            module.log_scale.requires_grad_(False)


def learn_steps(network: Network, learning: Learning) -> None:
    """From here on steps are parameters. `lsq`: of all activations and of each row of a weight. `pact`: of what stands
    after a ReLU; other grids stay with their statistics, as in Choi 2018. Nothing else learns its steps any more.
    Steps that were found (OwnSteps.fix) need statistics of what they round: `search.quantizers.grids.measure_found`.
    """
    leave_steps(network)
    for block in [network.stem, *network.layers, network.head]:
        if not isinstance(block, MobileBlock | Skip | Stem | Head):
            continue
        weight_bits = block.operator.weight_bits
        for module in block.modules():
            if isinstance(module, RoundedConv | RoundedLinear) and learning == "lsq" and weight_bits < 32:
                module.learn(weight_bits)
            if not (isinstance(module, Rounding) or (isinstance(module, NormAct) and module.rounds)):
                continue
            if learning == "lsq" or not module.signed:
                module.learn(*block.bits)
                module.learning = learning
