"""What makes each warm start (search.warm_starts)."""

from collections.abc import Callable

from search.warm_starts.gates import Gates
from search.warm_starts.noise import Noise
from search.warm_starts.omega import Omega
from search.warm_starts.situation import Situation, WarmStart

WARM_STARTS: dict[str, Callable[[Situation], WarmStart]] = {
    "hawq": Omega,
    "variational-dropout": Noise,
    "hard-concrete": Gates,
}
