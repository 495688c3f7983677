"""What ships computes what was trained."""

import json
import random
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from latency.onnx_session import session
from latency.operator import Operator
from search import export
from search.architecture import Architecture
from search.blocks import Head, MobileBlock
from search.choices import Choices, Sparsity
from search.export import MEAN_TOLERANCE, ExportMismatch, compare, onnx_model, write_onnx
from search.finish import Trainer
from search.network import Network, load_weights, recalibrate, save_weights
from search.space import Space
from search.spec import Finish
from tests.search.builders import pictures, tiny_digits, tiny_space

JOINT = Choices(
    precision=("fp32", "w8a8", "w4a8", "w4a4"), width=(1, 0.5), sparsity=Sparsity(levels=(0, 0.5)), ends="w8a8"
)
SEEDS = (2, 3, 9, 19, 37, 50)  # of `drawn`
CHOICES = [["k3_e6", "k5_e1_g2", "skip"], ["skip", "skip", "k5_e3"], ["k3_e1_g2", "k3_e1", "k5_e6"]]


def trained(candidates: list[str]) -> Network:
    """A network whose BatchNorm has seen pictures."""
    torch.manual_seed(1)
    network = Network(Architecture.of(tiny_space(), candidates))
    recalibrate(network, iter([torch.from_numpy(pictures(64, tiny_space(), seed)) for seed in range(3)]))
    return network


@pytest.mark.parametrize("candidates", CHOICES)
def test_onnxruntime_gives_torchs_logits_for_any_batch(candidates: list[str], tmp_path: Path) -> None:
    network = trained(candidates)
    assert write_onnx(network, tmp_path / "model.onnx", torch.from_numpy(pictures(8, tiny_space()))) < 1e-5
    opened = session(tmp_path / "model.onnx")
    for count in (1, 5):
        (logits,) = opened.run(None, {"input": pictures(count, tiny_space())})
        assert logits.shape == (count, 10)


def test_a_file_that_computes_something_else_is_refused() -> None:
    network = trained(CHOICES[0])
    model = onnx_model(network)
    changed = onnx.numpy_helper.to_array(model.graph.initializer[0]) * 1.5
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(changed, model.graph.initializer[0].name))
    with pytest.raises(ExportMismatch, match="differ from torch's"):
        compare(network, model.SerializeToString(), torch.from_numpy(pictures(8, tiny_space())))


def test_the_file_names_its_architecture() -> None:
    model = onnx_model(trained(CHOICES[0]))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert Architecture.model_validate_json(metadata["architecture"]).layers[0].candidate == "k3_e6"


def test_saved_weights_load_without_anything_else(tmp_path: Path) -> None:
    network = trained(CHOICES[0])
    save_weights(network, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path / "weights.safetensors")
    x = torch.from_numpy(pictures(4, tiny_space()))
    with torch.no_grad():
        assert torch.equal(loaded(x), network.eval()(x))
    assert loaded.architecture == network.architecture


def test_blocks_of_the_export_are_the_operators_that_are_timed() -> None:
    network = trained(CHOICES[0])
    operators = network.architecture.operators()
    assert [o.kind for o in operators] == ["stem", "mbconv", "mbconv", "skip", "head"]
    convolutions = sum(node.op_type == "Conv" for node in onnx_model(network).graph.node)
    assert convolutions == sum({"stem": 1, "mbconv": 3, "skip": 0, "head": 1}[o.kind] for o in operators)
    assert isinstance(operators[0], Operator)
    assert json.loads(network.architecture.model_dump_json())["layers"][0]["candidate"] == "k3_e6"


def drawn(seed: int) -> Architecture:
    """A random architecture of few bits and zeros."""
    space, rng = tiny_space().offering(JOINT), random.Random(seed)
    return Architecture.from_indices(space, [rng.randrange(len(layer.choices)) for layer in space.layers])


@cache
def joint(seed: int) -> Network:
    """Such a network, trained a little on real digits."""
    torch.manual_seed(seed)
    network = Network(drawn(seed))
    trainer = Trainer(network, data=tiny_digits(), settings=Finish(epochs=2, batch_size=16), seed=seed)
    assert list(trainer)
    trainer.settle()
    return network


def digits() -> torch.Tensor:
    return torch.from_numpy(tiny_digits().x_test.astype(np.float32) / 255)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rounded_and_sparse_network_names_the_classes_that_torch_names(seed: int, tmp_path: Path) -> None:
    network, x = joint(seed), digits()
    write_onnx(network, tmp_path / "model.onnx", x)
    opened = session(tmp_path / "model.onnx")
    (theirs,) = opened.run(None, {"input": x.numpy()})
    with torch.no_grad():
        ours = network(x).numpy()
    assert ours.std(axis=0).mean() > 0.05
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.95
    assert np.abs(ours - theirs).mean() / np.abs(ours).max() < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_zeros_of_a_sparse_block_are_zeros_in_the_file(seed: int) -> None:
    network = joint(seed)
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in onnx_model(network).graph.initializer}
    sparse = [(n, block) for n, block in network.blocks() if isinstance(block, MobileBlock) and block.level.sparsity]
    assert sparse
    for name, block in sparse:
        for convolution, mask in (("expand", block.expand_mask), ("project", block.project_mask)):
            assert 0.4 <= float((~mask).float().mean()) <= 0.6
            assert not weights[f"{name}/{convolution}.weight"][~mask.numpy()].any()
            assert weights[f"{name}/{convolution}.weight"].any()


def test_the_seeds_cover_every_precision_zeros_and_a_projecting_skip() -> None:
    names = " ".join(choice.name for seed in SEEDS for choice in drawn(seed).layers)
    assert all(part in names for part in ("w8a8", "w4a8", "w4a4", "@0.5", " c", "_g2", "skip w"))


def _tampered(network: Network, suffix: str, factor: float) -> bytes:
    model = onnx_model(network)
    found = next(i for i in model.graph.initializer if i.name.endswith(suffix))
    changed = onnx.numpy_helper.to_array(found) * np.float32(factor)
    found.CopyFrom(onnx.numpy_helper.from_array(np.asarray(changed), found.name))
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("suffix", "factor"),
    [
        ("layers.0/expand/grid.size", 1.01),
        ("layers.0/input/grid.inverse", 1.01),
        ("layers.0/depthwise/grid.top", 0.25),
        ("layers.0/project.weight", 1.002),
        ("layers.1/project.weight.scale", 1.002),
        ("layers.2/expand/grid.scale", 1.01),
        ("head/pool/grid.scale", 1.01),
    ],
)
def test_a_rounded_file_that_is_a_little_wrong_is_refused_by_block(suffix: str, factor: float) -> None:
    network = joint(SEEDS[0])
    compare(network, onnx_model(network).SerializeToString(), digits())
    block = suffix.partition("/")[0]
    with pytest.raises(ExportMismatch, match=rf"^{block}: onnxruntime's values differ from torch's by"):
        compare(network, _tampered(network, suffix, factor), digits())


def untrained(space: Space, picks: list[tuple[str, str]], seed: int) -> Network:
    """Of random weights, rows of different sizes, statistics of real pictures."""
    torch.manual_seed(seed)
    indices = [
        next(n for n, c in enumerate(layer.choices) if (c.candidate.name, c.precision.name) == pick)
        for layer, pick in zip(space.layers, picks, strict=True)
    ]
    network = Network(Architecture.from_indices(space, indices))
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data *= torch.exp(torch.randn(len(module.weight), 1, 1, 1))
    recalibrate(network, iter([digits()]))
    return network


@pytest.mark.parametrize("seed", range(3))
def test_a_deep_integer_network_with_many_sums_is_exported(seed: int, tmp_path: Path) -> None:
    """A fused sum of onnxruntime may be a step off where two steps are as near; over many sums one always is."""
    space = tiny_space(stages=[{"channels": 16, "layers": 12}]).offering(Choices(precision=("w8a8",), ends="w8a8"))
    network = untrained(space, [("k3_e3", "w8a8")] * 12, seed)
    write_onnx(network, tmp_path / "model.onnx", digits())


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
def test_means_in_the_middle_between_two_steps_are_rounded_as_onnxruntime_does(
    ratio: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a step of the mean divides one of the features, many lie there."""
    network = untrained(tiny_space().offering(Choices(precision=("w8a8",), ends="w8a8")), [("k3_e3", "w8a8")] * 3, 0)
    head = network.head
    assert isinstance(head, Head)
    head.pool.rms.copy_(head.bn.rms / ratio)
    monkeypatch.setattr(export, "MEAN_TOLERANCE", 2e-6)  # blocks before it have 7e-7
    write_onnx(network.eval(), tmp_path / "model.onnx", digits())


def optimised(network: Network, folder: Path) -> dict[str, str]:
    """What onnxruntime makes of the exported file: the kind of each node."""
    write_onnx(network, folder / "model.onnx", digits())
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return {node.name: node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node}


def test_nothing_of_an_integer_network_is_computed_in_floats(tmp_path: Path) -> None:
    space = tiny_space().offering(Choices(precision=("w8a8",), ends="w8a8"))
    network = untrained(space, [("k3_e3", "w8a8")] * len(space.layers), 0)
    kinds = set(optimised(network, tmp_path).values())
    assert {"QLinearConv", "QLinearGlobalAveragePool", "QGemm"} <= kinds
    assert kinds.isdisjoint({"Conv", "FusedConv", "Gemm", "MatMul", "Add", "GlobalAveragePool", "DequantizeLinear"})


@pytest.mark.parametrize("seed", range(3))
def test_a_float_projection_between_integer_blocks_stays_float(seed: int, tmp_path: Path) -> None:
    stages = [{"channels": 12, "layers": 1, "stride": 2}, {"channels": 16, "layers": 1, "stride": 2}]
    space = tiny_space(stages=stages).offering(Choices(precision=("fp32", "w8a8"), ends="w8a8"))
    network = untrained(space, [("skip", "fp32"), ("k3_e3", "w8a8")], seed)
    kinds = optimised(network, tmp_path)
    floats = [name for name, kind in kinds.items() if "Conv" in kind and not kind.startswith("QLinear")]
    assert len(floats) == 1
    assert "layers.0/project" in floats[0]


def test_a_rounded_file_that_forgets_to_round_once_is_refused() -> None:
    network = joint(SEEDS[0])
    model = onnx_model(network)
    next(node for node in model.graph.node if node.op_type == "Round").op_type = "Identity"
    with pytest.raises(ExportMismatch, match=f"{MEAN_TOLERANCE:g} is allowed"):
        compare(network, model.SerializeToString(), digits())


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_saved_weights_keep_masks_and_grids(seed: int, tmp_path: Path) -> None:
    network = joint(seed)
    save_weights(network, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path / "weights.safetensors")
    before, after = network.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any(name.endswith("rms") for name in before)
    assert loaded.architecture == network.architecture
    with torch.no_grad():
        assert torch.equal(loaded(digits()), network(digits()))


def test_loaded_masks_are_those_that_were_trained_not_those_of_the_weights_today(tmp_path: Path) -> None:
    sparse = {"candidate": "k3_e3", "precision": "w4a4", "pattern": "unstructured", "sparsity": 0.5}
    space = tiny_space().offering(JOINT)
    network = Network(Architecture.model_validate({"space": space.model_dump(), "layers": [sparse] * 3})).eval()
    block = network.layers[0]
    assert isinstance(block, MobileBlock)
    block.expand_mask.logical_not_()
    save_weights(network, tmp_path / "weights.safetensors")
    kept = load_weights(tmp_path / "weights.safetensors").layers[0]
    assert torch.equal(kept.expand_mask, block.expand_mask)  # type: ignore[arg-type]  # a ModuleList forgets
