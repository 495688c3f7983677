"""The time left is told from the steps that were done, by phase."""

from workers.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(*steps: tuple[str, float]) -> Pace:
    clock = Clock()
    pace = Pace(clock)
    for phase, seconds in steps:
        clock.now += seconds
        pace.step(phase)
    return pace


def test_nothing_is_told_before_a_step_was_timed() -> None:
    assert paced().seconds_left({"search": 5}) is None
    assert paced(("search", 9.0)).seconds_left({"search": 5}) is None


def test_phases_that_were_not_seen_are_told_from_the_search() -> None:
    pace = paced(("search", 9.0), ("search", 1.0), ("search", 3.0))
    assert (
        pace.seconds_left({"search": 10, "draw": 3, "assess": 4, "finish": 6}) == 10 * 2.0 + 3 * 2.0 + 4 * 8.0 + 6 * 1.0
    )


def test_phases_that_were_seen_have_a_pace_of_their_own() -> None:
    pace = paced(("search", 9.0), ("search", 2.0), ("assess", 0.5), ("finish", 0.25))
    assert pace.seconds_left({"search": 0, "assess": 4, "finish": 8}) == 4 * 0.5 + 8 * 0.25


def test_an_attempt_that_goes_on_in_the_last_phase_needs_no_search() -> None:
    assert paced(("finish", 9.0), ("finish", 0.5)).seconds_left({"search": 0, "assess": 0, "finish": 8}) == 4.0


def test_nothing_is_told_of_a_phase_that_nothing_tells_of() -> None:
    resumed = paced(("assess", 9.0), ("assess", 0.5))
    assert resumed.seconds_left({"search": 0, "assess": 4, "finish": 4000}) is None
    assert resumed.seconds_left({"search": 0, "assess": 4, "finish": 0}) == 2.0


def test_a_rest_between_two_steps_counts_for_neither() -> None:
    clock = Clock()
    pace = Pace(clock)
    for wait in (1.0, 2.0, 4.0):
        clock.now += wait
        pace.step("compare")
        pace.rest()
    assert pace.step_seconds("compare") is None
    pace.step("compare")
    clock.now += 0.5
    pace.step("compare")
    assert pace.step_seconds("compare") == 0.5


def test_networks_of_a_comparison_are_told_from_the_result_until_one_was_trained() -> None:
    pace = paced(("search", 9.0), ("search", 2.0), ("finish", 0.25))
    assert pace.seconds_left({"compare": 8}) == 8 * 0.25
    assert paced(("search", 9.0), ("search", 2.0), ("finish", 0.25), ("compare", 0.5)).seconds_left({"compare": 8}) == 4
    assert paced(("search", 9.0), ("search", 2.0)).seconds_left({"compare": 8}) == 8 * 1.0


def test_a_job_without_search_is_told_from_its_float_network_through_to_its_comparison() -> None:
    """Of strategy hawq: before the result is trained, its steps are taken for those of the float network."""
    pace = paced(("float", 9.0), ("float", 0.5))
    assert pace.seconds_left({"float": 2, "trace": 4, "teach": 6, "finish": 8, "compare": 10}) == 30 * 0.5
    then = paced(("float", 9.0), ("float", 0.5), ("finish", 0.25))
    assert then.seconds_left({"teach": 2, "compare": 4}) == 6 * 0.25
