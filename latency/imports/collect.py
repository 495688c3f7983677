"""Values of operators while a file is read: merged, averaged, with their spread."""

import statistics
from collections import Counter, defaultdict
from typing import Any

from latency.operator import Operator
from latency.table import Entry, Provenance


class LayoutError(ValueError):
    """A file that is not of the layout."""


class Collected:
    """What a file says of operators, in microseconds, and what it says that has no place in a table."""

    def __init__(self, provenance: Provenance = "published") -> None:
        self.provenance = provenance
        self._values: defaultdict[Operator, list[float]] = defaultdict(list)
        self._left_out: Counter[str] = Counter()

    def add(self, operator: Operator, latency_us: Any, place: str) -> None:
        """One value. Raises LayoutError where it is no latency."""
        if isinstance(latency_us, bool) or not isinstance(latency_us, int | float) or not 0 <= latency_us < 1e12:
            raise LayoutError(f"{place}: {latency_us!r} is no latency")
        self._values[operator].append(float(latency_us))

    def leave_out(self, why: str) -> None:
        """Something of the file that is not taken."""
        self._left_out[why] += 1

    @property
    def left_out(self) -> dict[str, int]:
        """How many values were not taken, by the reason."""
        return dict(self._left_out)

    def entries(self) -> dict[Operator, Entry]:
        """One entry an operator. Raises LayoutError where there is none."""
        if not self._values:
            raise LayoutError("the file holds no operator that a table can have")
        return {operator: self._entry(values) for operator, values in self._values.items()}

    def _entry(self, values: list[float]) -> Entry:
        distinct = sorted(set(values))
        if len(distinct) == 1:
            return Entry(distinct[0], provenance=self.provenance)
        return Entry(statistics.fmean(values), distinct[0], distinct[-1], len(values), self.provenance)
