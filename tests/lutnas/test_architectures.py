"""What `lutnas architectures show` tells people, of answers that a service gives."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from lutnas.cli import cli
from tests.lutnas.scripted import Answer, scripted


def latency(device: str, us: float) -> dict[str, Any]:
    return {"name": device, "metric": "latency", "device": device, "predicted_us": us, "max_us": 2 * us}


ENERGY = {"name": "pi4 energy", "metric": "energy", "device": "pi4", "predicted_uj": 5.0, "max_uj": 9.0}
SIZE = {"name": "size", "metric": "size", "predicted_bytes": 100, "max_bytes": 200}


def shown(predicted: list[dict[str, Any]], latencies: dict[str, float], layer_us: float | None = 400.0) -> list[str]:
    """The lines after those of the two layers."""
    layers = [{"layer": number, "candidate": "k3_e1", "latency_us": layer_us} for number in range(2)]
    document = {
        "id": "arc_1", "job": "job_1", "space": "s", "test_accuracy": 0.9, "layers": layers,
        "predicted_latency_us": latencies, "predicted": predicted,
    }  # fmt: skip
    with scripted([Answer(json.dumps(document).encode())]) as server:
        command = ["architectures", "show", "arc_1", "--url", server.url, "--token", "t"]
        done = CliRunner().invoke(cli, command, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    last = max(number for number, line in enumerate(lines) if "k3_e1" in line)
    return [line for line in lines[last + 1 :] if line]


@pytest.mark.parametrize("predicted", [[SIZE, latency("pi4", 812.5), ENERGY], []])
def test_what_is_not_searched_is_the_rest_of_the_layers_own_total(predicted: list[dict[str, Any]]) -> None:
    assert shown(predicted, {"pi4": 812.5})[:2] == ["stem, head and call 12.5", "all, on pi4 812.5"]


def test_layers_of_one_device_are_not_taken_off_the_total_of_another() -> None:
    told = shown([ENERGY, latency("pixel3", 20.0)], {"pixel3": 20.0})
    assert told == ["layers, on pi4 800.0", "all, on pixel3 20.0", "pi4 energy 5.0 uJ"]


def test_with_several_latencies_the_device_of_the_layers_is_named() -> None:
    told = shown([latency("pi4", 812.5), latency("pixel3", 20.0)], {"pi4": 812.5, "pixel3": 20.0})
    assert told == ["layers, on pi4 800.0", "all, on pi4 812.5", "all, on pixel3 20.0"]


def test_without_a_device_there_are_no_latencies_to_add() -> None:
    assert shown([SIZE], {}, layer_us=None) == ["size 100 bytes"]
