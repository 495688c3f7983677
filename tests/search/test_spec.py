"""The job document: known whole from the first day, refused by name where not built."""

from typing import Any

import pytest
from pydantic import ValidationError

from search.spec import SearchSpec

LATENCY = {"metric": "latency", "device": "pi4", "max_us": 20000}
LEAST: dict[str, Any] = {"space": "fbnet-mini", "dataset": "fashion-mnist", "constraints": [LATENCY]}


def test_all_but_space_dataset_and_constraints_has_a_default() -> None:
    spec = SearchSpec.model_validate(LEAST)
    assert (spec.search.sampler, spec.search.objective, spec.finish.weights) == ("gumbel", "constrained", "inherited")
    for field in LEAST:
        with pytest.raises(ValidationError, match=field):
            SearchSpec.model_validate({key: value for key, value in LEAST.items() if key != field})


@pytest.mark.parametrize(
    ("change", "field", "named"),
    [
        ({"choices": {"precision": ["fp32", "w8a8"]}}, ("choices", "precision"), "precision"),
        ({"choices": {"width": [1, 0.5]}}, ("choices", "width"), "width"),
        (
            {"choices": {"sparsity": {"pattern": "2:4", "levels": [0, 0.5]}}},
            ("choices", "sparsity", "levels"),
            "sparsity",
        ),
        ({"constraints": [LATENCY, {"metric": "size", "max_bytes": 1}]}, ("constraints",), "metric size"),
        ({"finalists": 3}, ("finalists",), "finalist"),
        ({"baselines": ["hawq"]}, ("baselines",), "hawq"),
        ({"search": {"sampler": "two-path"}}, ("search", "sampler"), "two-path"),
    ],
)
def test_what_is_not_built_is_refused_by_name(change: dict[str, Any], field: tuple[str, ...], named: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SearchSpec.model_validate({**LEAST, **change})
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("not_built", field)
    assert named in error["msg"]


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"search": {"epochs": 2, "warmup_epochs": 2}},
        {"constraints": []},
        {"constraints": [{**LATENCY, "max_us": 0}]},
        {"constraints": [{**LATENCY, "max_us": float("inf")}]},
        {"seed": -1},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSpec.model_validate({**LEAST, **change})
