"""The job document: what it says has a meaning, what it cannot say is refused by name."""

from typing import Any

import pytest
from pydantic import ValidationError

from search.constraints import field_of, names_of
from search.spec import SearchSpec, Trials

LATENCY = {"metric": "latency", "device": "pi4", "max_us": 20000}
LEAST: dict[str, Any] = {"space": "fbnet-mini", "dataset": "fashion-mnist", "constraints": [LATENCY]}


def test_all_but_space_dataset_and_constraints_has_a_default() -> None:
    spec = SearchSpec.model_validate(LEAST)
    assert (spec.search.sampler, spec.search.objective, spec.finish.weights) == ("gumbel", "constrained", "inherited")
    for field in LEAST:
        with pytest.raises(ValidationError, match=field):
            SearchSpec.model_validate({key: value for key, value in LEAST.items() if key != field})


def test_a_baseline_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValidationError, match="'magic' is none of the baselines random, uniform-magnitude, uniform-int8"
    ):
        SearchSpec.model_validate({**LEAST, "baselines": ["random", "magic"]})


@pytest.mark.parametrize(
    ("change", "compared"),
    [
        ({}, 0),
        ({"comparison": {}}, 0),
        ({"comparison": {"seeds": 2}}, 2),
        ({"baselines": ["random"]}, 2),
        ({"baselines": ["random", "uniform-int8"], "comparison": {"points": 5, "seeds": 3}}, 45),
    ],
)
def test_every_method_is_compared_at_every_point_and_seed(change: dict[str, Any], compared: int) -> None:
    assert SearchSpec.model_validate({**LEAST, **change}).compared == compared


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"search": {"epochs": 2, "warmup_epochs": 2}},
        {"constraints": []},
        {"constraints": [{**LATENCY, "max_us": 0}]},
        {"constraints": [{**LATENCY, "max_us": float("inf")}]},
        {"constraints": [{"metric": "colour", "max": 1}]},
        {"constraints": [{"metric": "size", "max_us": 1}]},
        {"constraints": [{"metric": "size", "max_bytes": 1, "format": "zip"}]},
        {"constraints": [3]},
        {"finalists": 0},
        {"finalists": 65},
        {"seed": -1},
        {"choices": {"precision": ["int8"]}},
        {"search": {"sampler": "uniform"}},
        {"baselines": ["random", "random"]},
        {"baselines": ["search"]},
        {"comparison": {"points": 6}},
        {"comparison": {"seeds": 0}},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSpec.model_validate({**LEAST, **change})


def test_every_metric_is_read_and_none_means_latency() -> None:
    constraints: list[dict[str, Any]] = [
        {"device": "pi4", "max_us": 20000},
        {"metric": "energy", "device": "pi4", "max_uj": 5},
        {"metric": "size", "max_bytes": 300_000, "format": "csr"},
        {"metric": "memory", "max_bytes": 200_000},
        {"metric": "macs", "max": 1e7},
    ]
    spec = SearchSpec.model_validate({**LEAST, "constraints": constraints})
    assert [c.metric for c in spec.constraints] == ["latency", "energy", "size", "memory", "macs"]
    assert [c.maximum for c in spec.constraints] == [20000, 5, 300_000, 200_000, 1e7]
    assert [field_of(c) for c in spec.constraints] == ["max_us", "max_uj", "max_bytes", "max_bytes", "max"]
    assert SearchSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_constraint_has_the_name_of_its_device_or_metric_and_two_never_share_one() -> None:
    document = [
        {"device": "pi4", "max_us": 1}, {"device": "pixel", "max_us": 1, "table": "tbl_1"},
        {"device": "pixel", "max_us": 1, "table": "tbl_2"}, {"device": "pixel", "max_us": 2, "table": "tbl_2"},
        {"metric": "energy", "device": "pi4", "max_uj": 1}, {"metric": "macs", "max": 1},
        {"metric": "size", "max_bytes": 1}, {"metric": "size", "max_bytes": 1, "format": "csr"},
    ]  # fmt: skip
    spec = SearchSpec.model_validate({**LEAST, "constraints": document})
    assert names_of(spec.constraints) == (
        "pi4", "pixel (tbl_1)", "pixel (tbl_2)", "pixel (tbl_2) (3)", "pi4 energy", "macs", "size (auto)", "size (csr)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tried", "rounds", "plan"),
    [(6, 1, ((6, 2),)), (6, 2, ((6, 2), (3, 4))), (6, 4, ((6, 2), (3, 4), (2, 8))), (2, 3, ((2, 2),)), (0, 2, ())],
)
def test_trials_halve_until_one_would_be_left(tried: int, rounds: int, plan: tuple[tuple[int, int], ...]) -> None:
    assert Trials(finalists=6, epochs=2, rounds=rounds).plan(tried) == plan
