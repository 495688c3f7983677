"""What ships computes what was trained."""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from latency.operator import Operator
from search.architecture import Architecture
from search.export import ExportMismatch, compare, onnx_model, write_onnx
from search.network import Network, load_weights, recalibrate, save_weights
from tests.search.builders import pictures, tiny_space

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
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        (logits,) = session.run(None, {"input": pictures(count, tiny_space())})
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
