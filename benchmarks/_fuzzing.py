"""Requests made up from the OpenAPI document, and what their answers break.

schemathesis makes them: the boundaries of every schema, requests that fit it and that do not, and sequences along what
one answer gives to the next. All its checks hold the answers: no 5xx, the statuses, types and schemas of the document,
what does not fit refused and what fits taken, tokens asked for, things that were deleted gone.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

# Where a request that fits its schema may be refused all the same: (operation, why the schema cannot say it).
REFUSES = (
    ("GET /v1/.*(tokens|devices|tables|rows|measurements|requests|spaces|datasets|jobs|audit)$", "cursors are opaque"),
    ("GET /v1/(architectures|webhooks|webhooks/[^/]+/deliveries)$", "cursors are opaque"),
    ("POST /v1/webhooks$", "a URL has to be one of http to a public address"),
    (
        "GET /v1/(spaces|tables)/[^/]+/(operators|architectures|coverage|heatmap)$",
        "choices are words, as 2:4@0.5",
    ),
    ("POST /v1/(tokens|spaces|search-jobs|datasets)$", "fields have to fit each other, or name what is there"),
    ("POST /v1/devices/[^/]+/(tables|requests)$", "files have a form of their own; a request names a space"),
    ("POST /v1/(tables|architectures)/[^/]+/measurements$", "layers have to be those of the space"),
    ("POST /v1/device-requests/[^/]+/finish$", "a result names tables of the device"),
    ("POST /v1/search-jobs/[^/]+/(derive|reproduce|extend)$", "the job decides what can be derived and repeated"),
    ("POST /v1/search-jobs/[^/]+/clone$", "what comes of a patch has to be a job"),
)
_TAKEN = ["2xx", "3xx", "401", "403", "404", "409", "429"]
# It answers 200 with what is wrong: that is its work.
_TELLS = "POST /v1/search-jobs/validate"
_KNOWN_SHARE = 0.6  # of path parameters that name something that is there


@dataclass
class Fuzzed:
    """`cases` requests, counted by operation; `failures` are what answers broke, one a check and operation."""

    cases: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    failures: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


def fuzz(app: FastAPI, token: str, known: Mapping[str, str], *, examples: int, seed: int, **phases: bool) -> Fuzzed:
    """Sends `examples` random requests of each kind to each operation of `app`, and as many sequences.

    The same requests for the same seed; `known` are ids by the names of path parameters, `phases` may turn `coverage`
    and `stateful` off. Raises RuntimeError where the document itself is broken.
    """
    config = SchemathesisConfig.from_dict(_config(token, known, examples=examples, seed=seed, phases=phases))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    found = Fuzzed()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            raise RuntimeError(f"{event.label}: {event.value}")
        if isinstance(event, events.FatalError):
            raise RuntimeError("the engine failed") from event.exception
        if isinstance(event, events.ScenarioFinished):
            _note(found, event.recorder)
    return found


def _note(found: Fuzzed, recorder: ScenarioRecorder) -> None:
    found.cases += len(recorder.interactions)
    found.operations.update(node.value.operation.label for node in recorder.cases.values())
    for case_id, checks in recorder.checks.items():
        operation = recorder.cases[case_id].value.operation.label
        for check in checks:
            if check.status is Status.FAILURE and check.failure_info is not None:
                told = check.failure_info
                response = recorder.interactions[case_id].response
                found.failures.setdefault(
                    (check.name, operation),
                    {
                        "check": check.name, "operation": operation, "detail": told.failure.message,
                        "request": told.code_sample, "status": response and response.status_code,
                        "answer": response and (response.text or "")[:500],
                    },
                )  # fmt: skip


def _config(
    token: str, known: Mapping[str, str], *, examples: int, seed: int, phases: Mapping[str, bool]
) -> dict[str, Any]:
    refusing = [
        {
            "include-name-regex": pattern,
            "checks": {"positive_data_acceptance": {"expected-statuses": [*_TAKEN, "422"]}},
        }
        for pattern, _ in REFUSES
    ]
    telling = {"include-name": _TELLS, "checks": {"negative_data_rejection": {"enabled": False}}}
    return {
        "seed": seed,
        "headers": {"Authorization": f"Bearer {token}"},
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "phases": {name: {"enabled": enabled} for name, enabled in phases.items()},
        "dictionaries": {name: {"values": [value]} for name, value in known.items()},
        "parameters": {f"path.{name}": {"dictionary": name, "probability": _KNOWN_SHARE} for name in known},
        "checks": {"positive_data_acceptance": {"expected-statuses": _TAKEN}},
        "operations": [*refusing, telling],
    }
