"""The files that ship: which there are, that each computes what torch does, and that none is there half."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from latency.onnx_session import session
from latency.profiler import measure_model
from latency.profiler.measure import Patience
from latency.tflite_file import packed, parsed
from search.architecture import Architecture
from search.blocks import MobileBlock
from search.choices import Choices, Sparsity
from search.export import ExportMismatch, settle_biases
from search.finish import Trainer
from search.litert import compare, tflite_model
from search.network import Network
from search.shipping import Models, write_models
from search.spec import Finish
from search.unrounded import unrounded
from tests.search.builders import tiny_digits, tiny_space
from tests.search.test_export import CHOICES, digits, trained, untrained

MIXED = Choices(precision=("fp32", "w8a8", "w4a8"), sparsity=Sparsity(levels=(0, 0.5)), ends="w8a8")
PICKS = [
    [("k3_e6", "w8a8"), ("k5_e1_g2", "fp32"), ("k3_e3", "w4a8")],  # out of integers and into them again
    [("skip", "fp32"), ("skip", "w8a8"), ("k5_e3", "w8a8")],
    [("k5_e3", "fp32"), ("k3_e1_g2", "w4a8"), ("skip", "fp32")],
]


@cache
def rounded(number: int, choices: Choices = MIXED, sparsity: float = 0.0) -> Network:
    """A network of `PICKS`, trained a little on real digits."""
    space = tiny_space().offering(choices)
    torch.manual_seed(number)
    indices = [
        next(n for n, c in enumerate(layer.choices) if (c.candidate.name, c.precision.name) == pick
             and c.level.sparsity in (sparsity, 0.0 if "skip" in pick else sparsity))
        for layer, pick in zip(space.layers, PICKS[number], strict=True)
    ]  # fmt: skip
    network = Network(Architecture.from_indices(space, indices))
    trainer = Trainer(network, data=tiny_digits(), settings=Finish(epochs=2, batch_size=16), seed=number)
    assert list(trainer)
    trainer.settle()
    return network


def few_bits() -> Network:
    """All in four bits."""
    space = tiny_space().offering(Choices(precision=("w4a4",)))
    return untrained(space, [("k3_e6", "w4a4"), ("k5_e3", "w4a4"), ("k3_e3", "w4a4")], 0)


def ship(network: Network, folder: Path) -> Models:
    return write_models(network, folder, probe_NCHW=digits(), calibration=iter([digits()]))


def by_onnxruntime(path: Path, x_NCHW: Tensor) -> np.ndarray:
    opened = session(path)
    return np.asarray(opened.run(None, {"input": x_NCHW.contiguous().numpy()})[0])


@pytest.mark.parametrize("number", range(len(PICKS)))
def test_a_rounded_network_ships_in_three_forms(number: int, tmp_path: Path) -> None:
    models = ship(rounded(number), tmp_path)
    assert [path.name for path in models.files] == ["model.onnx", "model-float.onnx", "model.tflite"]
    assert models.notes == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in models.files)
    assert measure_model(tmp_path / "model.tflite", runtime="litert", patience=Patience(0.0, 0.1)).latency_us > 0


def test_a_network_that_rounds_nothing_has_one_onnx_file(tmp_path: Path) -> None:
    models = ship(trained(CHOICES[0]), tmp_path)
    assert [path.name for path in models.files] == ["model.onnx", "model.tflite"]
    assert models.plain is None


def test_what_tflite_cannot_say_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    models = ship(few_bits(), tmp_path)
    assert [path.name for path in models.files] == ["model.onnx", "model-float.onnx"]
    (note,) = models.notes
    assert note.startswith("model.tflite was not written: layers.0: mbconv")
    assert note.endswith("w4a4 is simulated in float, which TFLite has no operators for.")
    assert not (tmp_path / "model.tflite").exists()


def test_without_litert_the_result_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    models = ship(trained(CHOICES[0]), tmp_path)
    assert [path.name for path in models.files] == ["model.onnx"]
    assert "pip install 'lutnas[litert]'" in models.notes[0]


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_the_float_file_is_the_shadow_weights_at_the_same_widths_and_zeros(sparsity: float, tmp_path: Path) -> None:
    network = rounded(0, sparsity=sparsity)
    models = ship(network, tmp_path)
    assert models.plain is not None
    with torch.no_grad():
        ours = models.plain(digits()).numpy()
    np.testing.assert_allclose(by_onnxruntime(tmp_path / "model-float.onnx", digits()), ours, atol=1e-4)
    graph = onnx.load(tmp_path / "model-float.onnx").graph
    assert not {node.op_type for node in graph.node} & {"QuantizeLinear", "DequantizeLinear", "Round"}
    for before, after in zip(network.blocks(), models.plain.blocks(), strict=True):
        for layer in ("conv", "expand", "depthwise", "project", "linear"):
            if hasattr(before[1], layer):
                assert torch.equal(getattr(before[1], layer).weight, getattr(after[1], layer).weight)
    block = models.plain.layers[0]
    assert isinstance(block, MobileBlock)
    assert float((block.weights()[0] == 0).float().mean()) == pytest.approx(sparsity, abs=0.02)


def test_a_network_of_few_bits_names_as_many_digits_without_rounding() -> None:
    """With the statistics of the rounded one it does not: they are taken anew."""
    space = tiny_space().offering(Choices(precision=("w2a2",)))
    torch.manual_seed(0)
    network = Network(Architecture.from_indices(space, [3, 3, 3]))
    data = tiny_digits(train=600, test=200)
    trainer = Trainer(network, data=data, settings=Finish(epochs=6, batch_size=32), seed=0)
    assert list(trainer)
    trainer.settle()
    labels, x = torch.tensor(data.y_test), torch.from_numpy(data.x_test.astype(np.float32) / 255)
    calibration = torch.from_numpy(data.x_train.astype(np.float32) / 255)
    with torch.no_grad():
        right = (network(x).argmax(1) == labels).float().mean()
        plain = (unrounded(network, iter([calibration]))(x).argmax(1) == labels).float().mean()
    assert right > 0.3
    assert plain > right - 0.2


@pytest.mark.parametrize("number", range(len(PICKS)))
def test_litert_computes_what_torch_does_where_formats_mix(number: int) -> None:
    network = rounded(number)
    assert compare(network, tflite_model(network), digits()) < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_a_deep_integer_network_with_many_sums_passes(seed: int) -> None:
    space = tiny_space(stages=[{"channels": 16, "layers": 12}]).offering(Choices(precision=("w8a8",), ends="w8a8"))
    network = untrained(space, [("k3_e3", "w8a8")] * 12, seed)
    settle_biases(network)
    compare(network, tflite_model(network), digits())


def _with_scale(content: bytes, tensor: str, factor: float) -> bytes:
    model = parsed(content)
    (found,) = (t for t in model.subgraphs[0].tensors if t.name.decode() == tensor)
    found.quantization.scale = [scale * factor for scale in found.quantization.scale]
    return packed(model)


@pytest.mark.parametrize(
    ("tensor", "factor"),
    [
        ("layers.0/expand", 1.01),
        ("layers.0/project.weight", 1.003),
        ("layers.2/depthwise", 1.01),
        ("layers.2/project", 1.01),
        ("head/pool", 1.01),
    ],
)
def test_a_tflite_file_that_is_a_little_wrong_is_refused_by_block(tensor: str, factor: float) -> None:
    network = rounded(0)
    block = tensor.partition("/")[0]
    with pytest.raises(ExportMismatch, match=rf"^{block}: LiteRT's values differ from torch's by"):
        compare(network, _with_scale(tflite_model(network), tensor, factor), digits())


def test_a_float_tflite_file_that_is_wrong_is_refused() -> None:
    network = trained(CHOICES[0])
    model = parsed(tflite_model(network))
    graph = model.subgraphs[0]
    (found,) = (t for t in graph.tensors if t.name == b"layers.0/expand.weight")
    buffer = model.buffers[found.buffer]
    buffer.data = np.frombuffer((np.frombuffer(bytes(buffer.data), np.float32) * 1.5).tobytes(), np.uint8)
    with pytest.raises(ExportMismatch, match="LiteRT's logits differ from torch's"):
        compare(network, packed(model), digits())
    with pytest.raises(ExportMismatch, match="LiteRT cannot load the file"):
        compare(network, b"nothing", digits())
