"""The figures that the compression methods are known by, anew: sensitivities, exact allocations, closed forms, pruning.

`expected` is what was published or measured before, `got` what comes out here; `way` says whether that may lie on both
sides of it, or is a least or a most. A row that does not hold was not reached, and stays. Digits, and LeNet-300-100 on
Fashion-MNIST: about 11 minutes of CPU time on one core, told by part. `--only` takes some of the parts. Figures of
trainings are of one seed.
"""

import os
import time
from functools import cache
from pathlib import Path

from benchmarks._lenet import Pace, fashion
from benchmarks._reporting import parser, say, show
from benchmarks._seed_rows import Row, closed_forms, published_allocations, sensitivities
from benchmarks._seed_trainings import EPOCHS_OF, Trainings
from search.machine import use_threads

SHORT = ("closed-forms", "allocations", "sensitivities")
PARTS = (*SHORT, *EPOCHS_OF)


def short_rows(part: str, tables: Path | None) -> list[Row]:
    """Those that take seconds."""
    if part == "closed-forms":
        return closed_forms()
    if part == "sensitivities":
        return sensitivities()
    if tables is None:
        raise SystemExit("allocations: name the folder of hawq_v3_resnet18.json by --tables or LUTNAS_REAL_TABLES")
    return published_allocations(tables)


def main() -> None:
    """Runs the benchmark."""
    named = os.environ.get("LUTNAS_REAL_TABLES")
    options = parser(__doc__)
    options.add_argument("--tables", type=Path, default=named and Path(named), help="folder of hawq_v3_resnet18.json")
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    given = options.parse_args()
    use_threads(1)
    rows, seconds = list[Row](), dict[str, float]()
    trainings = cache(lambda: Trainings(fashion(), Pace(sum(EPOCHS_OF.get(part, 0) for part in given.only))))
    for part in [part for part in PARTS if part in given.only]:
        say(part)
        begin = time.process_time()
        rows += getattr(trainings(), part)() if part in EPOCHS_OF else short_rows(part, given.tables)
        seconds[part] = round(time.process_time() - begin, 1)
    show({"rows": [row.figures() for row in rows], "cpu_seconds": seconds}, as_json=given.json)


if __name__ == "__main__":
    main()
