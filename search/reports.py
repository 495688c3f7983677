"""What a running search tells whoever drives it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepReport:
    """One step of work done. `step` counts from 1 to `steps` within the phase; `data` is JSON of the kind's own fields.

    Kinds: `progress` (a step), `distribution` (probabilities at the end of an epoch), `derived` (the architecture).
    """

    phase: str
    step: int
    steps: int
    kind: str = "progress"
    data: dict[str, Any] = field(default_factory=dict)
