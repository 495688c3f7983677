"""What a device says of a network that was chosen: budgets are tightened for as long as it exceeds them there.

Errors:
    OverBudget (RuntimeError)      what was measured exceeds a budget on the device, and no network is left
    MeasurementError (ValueError)  what was measured is of no budget, or no positive number
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from search.budget import Budget, Indices
from search.derive import can_be_held
from search.network import Network
from search.reports import StepReport
from search.state import State

Measure = Callable[[Network], Mapping[str, float]]  # what a device takes, by the budget's name and in its unit
MOST_MEASURED = 8  # networks that may exceed a budget on the device before the job gives up
WELL_WITHIN = 1 - 1e-6  # a bound is tightened below what exceeded it


class OverBudget(RuntimeError):
    """Every finalist that was measured exceeds a budget on the device."""


class MeasurementError(ValueError):
    """What `measure` gave names no budget, or is no positive number: it would count as held."""


class Measuring:
    """`bounds` are the budgets, tightened by what measured networks took; `holds` whether the best one holds the
    budgets, as far as anybody measured.
    """

    def __init__(self, budgets: Sequence[Budget], measure: Measure | None) -> None:
        self.budgets, self.measure = tuple(budgets), measure
        self.bounds = self.budgets
        self.measurements: list[dict[str, float]] = []
        self.holds = False

    def judge(self, best: Indices, inherit: Callable[[Indices], Network]) -> StepReport | None:
        """Measures the best one; None where nobody measures, and it holds then. A budget that `measure` leaves out is
        held by prediction alone. Raises OverBudget, MeasurementError.
        """
        if self.measure is None:
            self.holds = True
            return None
        measured = self._checked(self.measure(inherit(best)))
        exceeded = [b for b in self.budgets if measured.get(b.name, 0.0) > b.maximum]
        self.holds = not exceeded
        if exceeded:
            self._tighten(best, measured, exceeded)
        count = len(self.measurements) + self.holds
        return StepReport("measure", count, MOST_MEASURED, {"measured": measured, "held": self.holds})

    def _checked(self, measured: Mapping[str, float]) -> dict[str, float]:
        names = [budget.name for budget in self.budgets]
        if not measured or (unknown := sorted(set(measured) - set(names))):
            told = ", ".join(unknown) if measured else "nothing"
            raise MeasurementError(f"measured was {told}, the budgets are {', '.join(names)}: give them by name")
        for name, value in measured.items():
            if not (math.isfinite(value) and value > 0):
                raise MeasurementError(f"{name}: {value} was measured, which is no positive number")
        return dict(measured)

    def _tighten(self, indices: Indices, measured: dict[str, float], exceeded: Sequence[Budget]) -> None:
        """Lowers each exceeded bound by the factor that prediction fell short."""
        self.measurements.append(measured)
        told = "; ".join(f"{b.name}: {measured[b.name]:g} of {b.maximum:g}" for b in exceeded)
        if len(self.measurements) == MOST_MEASURED:
            raise OverBudget(f"{MOST_MEASURED} finalists exceed on the device ({told}): profile it again")
        tight = {b.name: b.maximum * b.total(indices) / measured[b.name] * WELL_WITHIN for b in exceeded}
        self.bounds = tuple(replace(b, maximum=tight.get(b.name, b.maximum)) for b in self.bounds)
        if not can_be_held(self.bounds):
            so_much = "; ".join(f"{name} below {maximum:g}" for name, maximum in tight.items())
            raise OverBudget(
                f"finalists exceed on the device ({told}), and nothing is predicted to take what that calls for "
                f"({so_much}): raise the maximum, or profile the device again"
            )

    def state_dict(self) -> State:
        """What was measured, and what follows from it."""
        return {
            "measurements": [dict(measured) for measured in self.measurements],
            "holds": self.holds,
            "maxima": [bound.maximum for bound in self.bounds],
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken."""
        self.measurements = [dict(measured) for measured in state["measurements"]]
        self.holds = state["holds"]
        self.bounds = tuple(replace(b, maximum=m) for b, m in zip(self.budgets, state["maxima"], strict=True))
