"""How long a job still takes, from the steps it has done."""

from collections.abc import Callable

FINISH_SHARE = 0.5  # a step of the derived network, in steps of its supernet, until one was seen


class Pace:
    """Seconds a step of each phase, measured on this attempt's own steps."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._seconds: dict[str, float] = {}
        self._steps: dict[str, int] = {}

    def step(self, phase: str) -> None:
        """One step of `phase` was done since the last call."""
        now = self._clock()
        self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
        self._steps[phase] = self._steps.get(phase, 0) + 1
        self._last = now

    def seconds_left(self, search_steps: int, finish_steps: int) -> float:
        """Seconds for that many steps of each phase."""
        search = self._rate("search")
        finish = self._rate("finish") or FINISH_SHARE * search
        return search * search_steps + finish * finish_steps

    def _rate(self, phase: str) -> float:
        steps = self._steps.get(phase, 0)
        return self._seconds[phase] / steps if steps else 0.0
