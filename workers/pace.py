"""How long a job still takes, from the steps it has done."""

from collections.abc import Callable

FINISH_SHARE = 0.5  # a step of the derived network, in steps of its supernet, until one was seen


class Pace:
    """Seconds a step of each phase, measured on this attempt's own steps."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: float | None = None
        self._seconds: dict[str, float] = {}
        self._steps: dict[str, int] = {}

    def step(self, phase: str) -> None:
        """A step of `phase` was done. The first of an attempt only starts the clock: it pays for warming up."""
        now = self._clock()
        if self._last is not None:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
            self._steps[phase] = self._steps.get(phase, 0) + 1
        self._last = now

    def seconds_left(self, search_steps: int, finish_steps: int) -> float | None:
        """Seconds for that many steps of each phase; None before anything is known."""
        search, finish = self.step_seconds("search"), self.step_seconds("finish")
        if search is None and finish is None:
            return None
        if finish is None:
            finish = FINISH_SHARE * (search or 0.0)
        return (search or 0.0) * search_steps + finish * finish_steps

    def step_seconds(self, phase: str) -> float | None:
        """Mean seconds of a step of `phase`; None before the second one."""
        steps = self._steps.get(phase, 0)
        return self._seconds[phase] / steps if steps else None
