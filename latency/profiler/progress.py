"""How far a profile is, for whoever watches."""

import math
from collections.abc import Callable, Sequence

from latency.profiler.measure import LEAST_ROUNDS, Patience

Progress = Callable[[int, int, float], None]
"""Gets (done, total, seconds_left), in bursts; the total grows where timings do not settle."""


class Meter:
    """Counts bursts and guesses the time that is left. `bursts` of each graph were done by an earlier run."""

    def __init__(
        self, progress: Progress, bursts: Sequence[int], patience: Patience, wall: Callable[[], float]
    ) -> None:
        self._progress = progress
        self._patience = patience
        self._wall = wall
        self._start = wall()
        self._needed = sum(max(0, LEAST_ROUNDS - done) for done in bursts)
        self._done = 0

    def step(self) -> None:
        """One more burst is done."""
        self._done += 1
        elapsed = self._wall() - self._start
        each = elapsed / self._done
        left = max(0.0, (self._needed - self._done) * each, self._patience.least - elapsed)
        more = math.ceil(left / each) if each else self._needed
        self._progress(self._done, self._done + more, left)

    def finish(self) -> None:
        """Nothing is left."""
        self._progress(self._done, self._done, 0.0)
