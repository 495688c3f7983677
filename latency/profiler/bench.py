"""Loads graphs to time: chains of operators with random weights."""

import os
from collections.abc import Sequence

import numpy as np

from latency.operator import BASE, Operator
from latency.profiler.measure import WARM_UP
from latency.profiler.plan import Chain
from latency.profiler.runtimes import Call, Runtime
from latency.weights import random_weights

EMPTY = Operator("skip", 1, 1, 1, 0, 1, 1)  # an identity on one number: what a call costs that runs nothing


class Bench:
    """Loads graphs to time. Those whose weights fit into `room` bytes stay loaded, others are loaded anew."""

    def __init__(self, graphs: Sequence[Chain], runtime: Runtime, *, threads: int, room: int) -> None:
        self._graphs = graphs
        self._runtime = runtime
        self._threads = threads
        self._room = room
        self._kept: dict[int, Call] = {}
        self._weights: dict[Operator, dict[str, np.ndarray]] = {}

    def __call__(self, graph: int) -> Call:
        if graph in self._kept:
            return self._kept[graph]
        operators = [EMPTY if o == BASE else o for o in self._graphs[graph]]
        weights = [self._weights_of(o) for o in operators]
        call = self._runtime.load(operators, weights, threads=self._threads, seed=graph)
        for _ in range(WARM_UP):
            call()
        size = sum(array.nbytes for arrays in weights for array in arrays.values())
        if size <= self._room:
            self._room -= size
            self._kept[graph] = call
        return call

    def _weights_of(self, operator: Operator) -> dict[str, np.ndarray]:
        """The same for an operator in every graph: making them takes longer than timing them."""
        if operator not in self._weights:
            rng = np.random.default_rng(len(self._weights))
            self._weights[operator] = random_weights(operator, rng)
        return self._weights[operator]


def room() -> int:
    """A sixteenth of the memory, as a runtime holds weights about twice; 200 MB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 16
    except (AttributeError, ValueError):
        return 200_000_000
