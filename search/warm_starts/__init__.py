"""Where theta may start after the warm-up of a search instead of all options being alike, by `search.warm_start`.

`hawq` starts precisions from Omega, `variational-dropout` levels of zeros and `hard-concrete` widths from what they
propose for the largest path in float. Each gives its options a cost; logits are minus that, on one scale
(search.warm_starts.scale). This module is torch-free; search.warm_starts.methods makes them.
"""

from search.baselines.offered import no_bits, no_widths, no_zeros
from search.space import Space
from search.spec import Search

PICTURES, VECTORS = 256, 32  # of `hawq`
OF_BUDGETS = ("hard-concrete",)  # keep as much as the budgets allow
_REASONS = {"hawq": no_bits, "variational-dropout": no_zeros, "hard-concrete": no_widths}


def misfit(name: str, space: Space) -> str | None:
    """Why `space` leaves a warm start nothing to say; None where it has something."""
    return _REASONS[name](space, ())


def steps(settings: Search, batches: int) -> int:
    """How many the warm start of a search takes: vectors, or batches of its training, which lasts as long as the
    warm-up, and an epoch at least. `batches` are those of an epoch's weight steps.
    """
    if settings.warm_start is None:
        return 0
    return VECTORS if settings.warm_start == "hawq" else epochs(settings) * batches


def epochs(settings: Search) -> int:
    """Of a warm start that trains."""
    return max(1, settings.warmup_epochs)
