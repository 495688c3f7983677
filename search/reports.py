"""What a running search tells whoever drives it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepReport:
    """One step of work done: JSON-ready. `step` counts from 1 to `steps` within the phase.

    Phase `search`: `data` holds epoch, loss, accuracy, expected (by budget), temperature; the last report of an epoch
    has `distribution`: by categorical (block, precision, level) the probabilities of each layer's options. Phase
    `draw`: the score of one sub-network; phase `assess`: of one finalist, anew where a device refused the best. Phase
    `trial`: as `finish`, with finalist, finalists and round. Phase `measure`: what the best finalist took on the
    device, by budget, and whether that holds. Phase `derive`: one report, with candidates and predicted (by budget).
    Phases `teach` (the float twin, where there is one) and `finish`: epoch, loss, accuracy. Of strategy hawq: phase
    `float` as `finish`, phase `trace`: v' H v of one vector, over all layers.
    Phase `compare`: network (of so many `networks`), method, share and seed, with what `finish` has while it is
    trained, then with its metric before and after; `proposing` is true while a baseline learns which network it has.
    """

    phase: str
    step: int
    steps: int
    data: dict[str, Any] = field(default_factory=dict)
    distribution: dict[str, list[list[float]]] | None = None
