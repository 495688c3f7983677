"""Compared runs by method and operating point: mean and deviation over their seeds. Torch-free."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from latency.operator import Operator
from search.costs import macs, parameters, stored_bytes
from search.report.card import ComparedRow, Spread
from search.report.compared import SEARCHED, ComparedRun
from search.space import Space


def comparison(space: Space, runs: Sequence[ComparedRun], budgets: Sequence[str]) -> tuple[ComparedRow, ...]:
    """One row a method and share: the search first, methods by name, shares from the least, seeds in order. Raises
    ValueError where a run has no prediction of one of `budgets`, or not as many layers as `space`.
    """
    grouped = dict[tuple[str, float], list[ComparedRun]]()
    for run in sorted(runs, key=lambda run: (run.method != SEARCHED, run.method, run.share, run.seed)):
        missing = [name for name in budgets if name not in run.predicted]
        if missing:
            raise ValueError(f"{run.method}, seed {run.seed}: predicted has no {missing[0]!r}, which is a budget")
        grouped.setdefault((run.method, run.share), []).append(run)
    return tuple(_row(space, method, share, group, budgets) for (method, share), group in grouped.items())


def _row(space: Space, method: str, share: float, runs: Sequence[ComparedRun], budgets: Sequence[str]) -> ComparedRow:
    networks = [_operators(space, run) for run in runs]
    return ComparedRow(
        method=method,
        share=share,
        accuracy=_spread([run.after for run in runs]),
        accuracy_before=_spread([run.before for run in runs]),
        top5=_known([run.top5_after for run in runs]),
        top5_before=_known([run.top5_before for run in runs]),
        parameters=_mean(parameters, networks),
        macs=_mean(macs, networks),
        size_bytes=_mean(stored_bytes, networks),
        predicted={name: fmean(run.predicted[name] for run in runs) for name in budgets},
        runs=tuple(runs),
    )


def _operators(space: Space, run: ComparedRun) -> list[Operator]:
    """A baseline may choose what the job does not offer, so nothing asks whether a choice is one of the space."""
    if len(run.layers) != len(space.layers):
        raise ValueError(
            f"{run.method}, seed {run.seed}: {len(run.layers)} choices "
            f"for the {len(space.layers)} layers of {space.name}"
        )
    chosen = [layer.operator(choice.at(layer)) for layer, choice in zip(space.layers, run.layers, strict=True)]
    return [space.stem_operator, *chosen, space.head_operator]


def _mean(cost: Callable[[Operator], float], networks: Sequence[Sequence[Operator]]) -> float:
    return fmean(sum(map(cost, operators)) for operators in networks)


def _known(values: Sequence[float | None]) -> Spread | None:
    """None where not every run has one."""
    known = [value for value in values if value is not None]
    return _spread(known) if len(known) == len(values) else None


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean=fmean(values), deviation=stdev(values) if len(values) > 1 else None)
