"""How long a job still takes, from the steps it has done."""

from collections.abc import Callable, Mapping

from api.telemetry.metrics import STEP_SECONDS

# A step of another phase in steps of the search, until one was seen: of the derived network, of a scored sub-network.
SHARES = {"finish": 0.5, "teach": 0.5, "compare": 0.5, "trial": 0.5, "draw": 1.0, "assess": 4.0}
# Steps of a phase that are those of another, where that was seen, or of the one which that is like.
LIKE = {"compare": "finish", "teach": "finish", "finish": "float", "trace": "float"}


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
            STEP_SECONDS.labels(phase=phase).observe(now - self._last)
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
            self._steps[phase] = self._steps.get(phase, 0) + 1
        self._last = now

    def rest(self) -> None:
        """What comes until the next step is none: that one only starts the clock again."""
        self._last = None

    def seconds_left(self, steps: Mapping[str, int]) -> float | None:
        """Seconds for that many steps of each phase; None where nothing tells how long one of them takes."""
        search, total = self.step_seconds("search"), 0.0
        for phase, left in steps.items():
            seconds = self._seen(phase)
            if seconds is None and search is not None:
                seconds = SHARES.get(phase, 1.0) * search
            if left and seconds is None:
                return None
            total += left * (seconds or 0.0)
        return total

    def _seen(self, phase: str) -> float | None:
        """Of a step of `phase`, or of the nearest that it is like."""
        seconds = self.step_seconds(phase)
        return self._seen(LIKE[phase]) if seconds is None and phase in LIKE else seconds

    def step_seconds(self, phase: str) -> float | None:
        """Mean seconds of a step of `phase`; None before the second one."""
        steps = self._steps.get(phase, 0)
        return self._seconds[phase] / steps if steps else None
