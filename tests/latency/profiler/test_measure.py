"""Adaptivity with clocks that tests move by hand."""

from collections.abc import Callable, Iterator
from itertools import chain, count, cycle, repeat

import pytest

from latency.profiler.measure import (
    LEAST_ROUNDS,
    LONGEST_BURST,
    Burst,
    Clocks,
    Patience,
    clocks,
    drift,
    settled,
    time_in_turns,
)

PATIENCE = Patience(least=1.0, most=30.0)


class Machine:
    """Calls take the nanoseconds that `costs` give, on both clocks."""

    def __init__(self, *costs: Iterator[int]) -> None:
        self.time_ns = 0
        self.loaded: list[int] = []
        self._costs = costs

    def load(self, graph: int) -> Callable[[], None]:
        self.loaded.append(graph)
        return lambda: self._pass(next(self._costs[graph]))

    def _pass(self, ns: int) -> None:
        self.time_ns += ns

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.time_ns, "test time", lambda: self.time_ns / 1e9)

    def time(
        self, patience: Patience = PATIENCE, bursts: list[int] | None = None, samples: list[list[int]] | None = None
    ) -> list[Burst]:
        graphs = len(self._costs)
        samples = samples or [[] for _ in range(graphs)]
        return list(time_in_turns(self.load, samples, bursts or [0] * graphs, patience, self.clocks))


def test_steady_calls_stop_as_soon_as_they_may() -> None:
    machine = Machine(repeat(1_000_000))
    machine.time()
    assert 1.0 <= machine.time_ns / 1e9 < 1.1


def test_calls_that_are_seldom_fast_are_timed_until_a_tenth_of_them_was() -> None:
    slow_then_mixed = chain(repeat(1_200_000, 5_000), cycle([1_000_000, 1_100_000, 1_200_000, 1_200_000]))
    next(slow_then_mixed)
    restless = chain([1_000_000] * 300, slow_then_mixed)
    machine = Machine(restless)
    calls = [ns for burst in machine.time() for ns in burst.calls_ns]
    assert settled(calls)
    machine = Machine(count(1_000_000, 10_000))
    assert not settled([ns for burst in machine.time() for ns in burst.calls_ns])
    assert 30.0 <= machine.time_ns / 1e9 < 30.2


def test_graphs_take_turns_so_that_a_busy_moment_hits_all() -> None:
    machine = Machine(repeat(1_000_000), repeat(2_000_000), repeat(3_000_000))
    machine.time()
    assert machine.loaded[:9] == [0, 1, 2] * 3


def test_slow_graphs_get_every_round_and_no_more() -> None:
    machine = Machine(repeat(1_000_000_000))
    assert len(machine.time()) == LEAST_ROUNDS


def test_short_calls_are_timed_in_bursts_long_ones_singly() -> None:
    short, long = Machine(repeat(50_000)).time(), Machine(repeat(5_000_000)).time()
    assert {len(burst.calls_ns) for burst in short[1:]} == {LONGEST_BURST}
    assert {len(burst.calls_ns) for burst in long} == {1}


def test_what_an_earlier_run_timed_is_not_timed_again() -> None:
    machine = Machine(repeat(1_000_000_000), repeat(1_000_000_000))
    bursts = machine.time(Patience(0.0, 1.0), [LEAST_ROUNDS, LEAST_ROUNDS - 2])
    assert [burst.graph for burst in bursts] == [1, 1]


@pytest.mark.parametrize(
    ("calls", "answer"),
    [
        ([100] * 50, True),
        ([100] * 6 + [120] * 44, True),
        ([100] * 2 + [120] * 48, False),
        (list(range(100, 150)), False),
    ],
)
def test_a_tenth_at_the_floor_is_settled(calls: list[int], answer: bool) -> None:
    assert settled(calls) is answer


def test_one_thread_is_timed_by_its_cpu_time_and_several_by_the_wall() -> None:
    assert clocks(1).name == "thread CPU time"
    assert clocks(2).name == "wall time"


def test_the_time_of_an_earlier_run_counts() -> None:
    whole = Machine(count(1_000_000, 10_000))
    earlier = [ns for burst in whole.time() for ns in burst.calls_ns]
    half = earlier[: len(earlier) // 2]
    rest, spent = Machine(count(half[-1], 10_000)), sum(half) / 1e9 * (1 + 1 / LONGEST_BURST)
    rest.time(bursts=[LEAST_ROUNDS], samples=[half])
    assert rest.time_ns / 1e9 == pytest.approx(30.0 - spent, abs=0.5)


def test_loading_is_not_timed() -> None:
    machine = Machine(repeat(1_000_000))
    load = machine.load

    def slowly(graph: int) -> Callable[[], None]:
        machine.time_ns += 3_000_000
        return load(graph)

    machine.load = slowly  # type: ignore[method-assign]
    timed = sum(ns for burst in machine.time() for ns in burst.calls_ns)
    assert 0.8 <= timed / 1e9 <= 1.1
    assert machine.time_ns / 1e9 > 1.5


def test_a_machine_that_grows_slower_is_noticed_and_noise_is_not() -> None:
    steady = [[1_000_000 + 10_000 * (n % 7) for n in range(60)] for _ in range(5)]
    slowing = [[*calls[:30], *(ns * 11 // 10 for ns in calls[30:])] for calls in steady]
    assert drift(steady) == pytest.approx(0.0, abs=0.01)
    assert drift(slowing) == pytest.approx(0.1, abs=0.01)
    assert drift([[1_000_000] * 5]) == 0.0


def test_bursts_tell_what_they_took_on_the_wall() -> None:
    bursts = Machine(repeat(1_000_000)).time()
    assert all(burst.wall_seconds == pytest.approx(sum(burst.calls_ns) / 1e9) for burst in bursts)
