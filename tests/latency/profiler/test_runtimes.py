"""Every runtime that comes along, on the same networks: what it computes, what it refuses, what a table says of it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from latency.graph import chain
from latency.operator import BASE, Operator
from latency.profiler import ProfilerError, make_runtime, measure_model, profile, runtime_names
from latency.profiler.measure import Patience
from latency.profiler.runtimes import Runtime
from latency.tflite import UnsupportedOperator
from latency.tflite import chain as tflite_chain
from latency.weights import random_weights

FLOAT, INTEGER, SIMULATED = (32, 32), (8, 8), (4, 4)
SHORT = Patience(least=0.0, most=1.0)


def network(bits: tuple[int, int], ends: tuple[int, int] = FLOAT) -> list[Operator]:
    return [
        Operator("stem", 14, 14, 1, 0, 16, 2, 3, 0, *ends),
        Operator("mbconv", 7, 7, 16, 48, 16, 1, 5, 1, *bits),
        Operator("mbconv", 7, 7, 16, 32, 24, 2, 3, 2, *bits),
        Operator("skip", 4, 4, 24, 0, 24, 1),
        Operator("mbconv", 4, 4, 24, 24, 24, 1, 3, 1, *FLOAT),
        Operator("skip", 4, 4, 24, 0, 40, 2, 0, 0, *bits),
        Operator("mbconv", 2, 2, 40, 40, 40, 1, 3, 2, *bits),
        Operator("head", 2, 2, 40, 64, 10, 0, 0, 0, *ends),
    ]


def logits(runtime: Runtime, operators: list[Operator]) -> np.ndarray:
    rng = np.random.default_rng(0)
    call = runtime.load(operators, [random_weights(o, rng) for o in operators], threads=1, seed=3)
    return np.asarray(call()).reshape(-1)


def test_the_runtimes_are_found_by_name() -> None:
    assert runtime_names() == ["litert", "onnxruntime", "torch", "torch-cuda"]
    for name in ("litert", "onnxruntime", "torch"):
        assert make_runtime(name).name == name
    with pytest.raises(ProfilerError, match="'tvm' is none of the runtimes litert, onnxruntime, torch, torch-cuda"):
        make_runtime("tvm")


@pytest.mark.parametrize("name", ["litert", "torch"])
def test_floats_come_out_as_onnxruntime_computes_them(name: str) -> None:
    operators = network(FLOAT)
    np.testing.assert_allclose(
        logits(make_runtime(name), operators), logits(make_runtime("onnxruntime"), operators), atol=1e-4
    )


@pytest.mark.parametrize("ends", [FLOAT, INTEGER], ids=["float ends", "integer ends"])
@pytest.mark.parametrize("weight_bits", [8, 4])
def test_litert_computes_the_integers_of_onnxruntime(weight_bits: int, ends: tuple[int, int]) -> None:
    """Both round sums to 8 bits; LiteRT does so with multipliers in whole numbers, so a few may be a step apart."""
    operators = network((weight_bits, 8), ends)
    theirs, ours = (logits(make_runtime(name), operators) for name in ("litert", "onnxruntime"))
    assert np.abs(theirs - ours).max() < 0.03 * np.abs(ours).max()
    assert np.abs(ours - logits(make_runtime("onnxruntime"), network(FLOAT))).max() > 1e-3


@pytest.mark.parametrize("name", ["litert", "onnxruntime", "torch"])
def test_a_table_tells_its_runtime_and_covers_what_was_asked(name: str) -> None:
    operators = network(FLOAT)
    table = profile(operators, device="here", runtime=name, patience=SHORT)
    assert (table.info.runtime, bool(table.info.runtime_version)) == (name, True)
    assert table.missing([BASE, *operators]) == []


@pytest.mark.parametrize("name", ["litert", "onnxruntime"])
def test_simulated_operators_are_refused_before_anything_is_timed(name: str) -> None:
    with pytest.raises(ProfilerError, match=r"mbconv .* w4a4: its rounding is simulated in float"):
        profile(network(SIMULATED), device="here", runtime=name)
    operators, names = network(SIMULATED), [f"layer{number}" for number in range(8)]
    weights = [random_weights(o, np.random.default_rng(0)) for o in operators]
    with pytest.raises(UnsupportedOperator, match=r"layer1: mbconv .* w4a4 is simulated in float"):
        tflite_chain(operators, weights, names)


def test_torch_refuses_integers_and_files() -> None:
    with pytest.raises(ProfilerError, match="w8a8: eager torch computes floats alone"):
        profile(network(INTEGER), device="here", runtime="torch")
    with pytest.raises(ProfilerError, match="eager torch runs no exported files"):
        measure_model(Path("model.onnx"), runtime="torch")


def test_a_tflite_file_is_measured_and_a_broken_one_refused_by_name(tmp_path: Path) -> None:
    operators, rng = network(FLOAT), np.random.default_rng(0)
    weights, names = [random_weights(o, rng) for o in operators], [f"layer{n}" for n in range(len(operators))]
    (tmp_path / "model.tflite").write_bytes(tflite_chain(operators, weights, names))
    assert measure_model(tmp_path / "model.tflite", runtime="litert", patience=SHORT).latency_us > 0
    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    with pytest.raises(ProfilerError, match=r"broken\.tflite: LiteRT .* cannot load it"):
        measure_model(tmp_path / "broken.tflite", runtime="litert")
    with pytest.raises(ValueError, match="shapes differ"):
        tflite_chain(operators[:1] + operators[2:3] + operators[1:2], weights[:3], names[:3])
    assert chain(operators, weights, names, batch=1)


def test_without_its_package_a_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ProfilerError, match=r"pip install 'lutnas\[litert\]'"):
        make_runtime("litert")
