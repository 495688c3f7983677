"""How the zeros of a derived network come in: gradually, or all before the first step."""

from search.blocks import MobileBlock
from search.compression.gradual import Gradual, Masked, Ramp
from search.network import Network
from search.spec import Finish, Pruning

LEAST_GRADUAL_EPOCHS = 5  # of `auto`


def pruning_of(network: Network, settings: Finish, steps: int) -> tuple[Gradual | None, tuple[str, ...]]:
    """What prunes `network` over `steps` steps, None where its masks stand as they are; and of a network with zeros a
    sentence that tells which and why.
    """
    sparse = [block for block in network.layers if isinstance(block, MobileBlock) and block.level.sparsity]
    if not sparse:
        return None, ()
    is_gradual, why = _choice(settings)
    layers = f"{len(sparse)} layer{'s' * (len(sparse) > 1)}"
    if not is_gradual:
        return None, (f"The zeros of {layers} stood from the first step on (one-shot), {why}.",)
    ramp = _ramp(settings.pruning, steps)
    parts = [Masked(weight, mask, block.level) for block in sparse for weight, mask in block.masked_weights()]
    told = f"The zeros of {layers} came in gradually, over steps {ramp.begin + 1} to {ramp.end + 1} of {steps}, {why}."
    return Gradual(parts, ramp), (told,)


def _choice(settings: Finish) -> tuple[bool, str]:
    schedule, epochs = settings.pruning.schedule, settings.epochs
    if schedule != "auto":
        return schedule == "gradual", "as finish.pruning.schedule asks"
    has_time = epochs >= LEAST_GRADUAL_EPOCHS
    told = f"{epochs} epoch{'s' * (epochs != 1)} of training"
    if has_time:
        return True, f"as {told} leave time for it: from {LEAST_GRADUAL_EPOCHS} on gradual pruning is the safer one"
    return False, f"as {told} leave no time to prune gradually: below {LEAST_GRADUAL_EPOCHS} that ends worse"


def _ramp(pruning: Pruning, steps: int) -> Ramp:
    """In steps; the last one trains what is left."""
    end = min(round(pruning.end * steps), steps - 1)
    return Ramp(min(round(pruning.begin * steps), end), end, pruning.every)
