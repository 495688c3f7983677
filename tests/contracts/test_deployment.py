"""What ships runs elsewhere: ONNX files where there is onnxruntime alone, weights where there is `lutnas[library]`."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from search.architecture import Architecture
from search.choices import Choices
from search.finish import Trainer
from search.machine import use_threads
from search.network import Network, save_weights
from search.shipping import Models, write_models
from search.spec import Finish
from tests.contracts.environments import build_wheel, clean_environment, install, run
from tests.search.builders import tiny_digits, tiny_space
from tests.search.test_export import digits

BY_ONNXRUNTIME = """
import json, sys
import numpy as np, onnxruntime
pixels = np.load("pixels.npy")
classes = {}
for name in ("model.onnx", "model-float.onnx"):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    classes[name] = session.run(None, {"input": pixels})[0].argmax(1).tolist()
assert not {"torch", "onnx", "search", "latency"} & set(sys.modules)
print(json.dumps(classes))
"""
BY_THE_LIBRARY = """
import sys
import numpy as np, torch
import search
assert "site-packages" in search.__file__, search.__file__
torch.set_num_threads(1)
for path in ("weights.safetensors", "architecture.json", "."):
    network = search.load(path)
assert isinstance(network, torch.nn.Module)
with torch.no_grad():
    np.save("logits.npy", network(torch.from_numpy(np.load("pixels.npy"))).numpy())
assert not {"onnx", "onnxruntime", "fastapi", "sqlalchemy", "celery", "scipy", "sklearn"} & set(sys.modules)
"""


def a_trained_network() -> Network:
    """Small, of integers, few bits, floats and zeros of width."""
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8", "w4a4"), ends="w8a8"))
    picks = [("k3_e6", "w8a8"), ("k5_e3", "w4a4"), ("k3_e3", "fp32")]
    indices = [
        next(n for n, c in enumerate(layer.choices) if (c.candidate.name, c.precision.name) == pick)
        for layer, pick in zip(space.layers, picks, strict=True)
    ]
    torch.manual_seed(0)
    network = Network(Architecture.from_indices(space, indices))
    data = tiny_digits(train=600)
    trainer = Trainer(network, data=data, settings=Finish(epochs=6, batch_size=32), seed=0)
    assert list(trainer)
    trainer.settle()
    return network


def classes_of(network: Network) -> list[int]:
    with torch.no_grad():
        found: list[int] = network(digits()).argmax(1).tolist()
    return found


@pytest.fixture(scope="module")
def network() -> Network:
    """Trained on one thread, as the other side computes."""
    use_threads(1)
    return a_trained_network()


@pytest.fixture(scope="module")
def models(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A folder as a download leaves it, with pictures beside it."""
    folder = tmp_path_factory.mktemp("download")
    np.save(folder / "pixels.npy", digits().numpy())
    save_weights(network, folder / "weights.safetensors")
    (folder / "architecture.json").write_text(network.architecture.model_dump_json())
    return write_models(network, folder, probe_NCHW=digits(), calibration=iter([digits()]))


@pytest.mark.timeout(300)
def test_onnxruntime_alone_names_the_classes_that_torch_names(network: Network, models: Models, tmp_path: Path) -> None:
    same = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")]
    programs = install(tmp_path / "environment", *same)
    folder = models.files[0].parent
    told = json.loads(run([str(programs / "python"), "-I", "-c", BY_ONNXRUNTIME], cwd=folder, env=clean_environment()))
    assert models.plain is not None
    assert told["model-float.onnx"] == classes_of(models.plain)
    assert told["model.onnx"] == classes_of(network)
    assert len(set(told["model.onnx"])) > 5


@pytest.mark.timeout(400)
def test_the_library_alone_gives_the_same_logits_to_the_bit(network: Network, models: Models, tmp_path: Path) -> None:
    same = [f"{name}=={version(name)}" for name in ("torch", "numba", "numpy")]  # equal bits need equal builds
    programs = install(tmp_path / "environment", f"{build_wheel(tmp_path)}[library]", *same)
    folder = models.files[0].parent
    run([str(programs / "python"), "-P", "-c", BY_THE_LIBRARY], cwd=folder, env=clean_environment())
    with torch.no_grad():
        np.testing.assert_array_equal(np.load(folder / "logits.npy"), network(digits()).numpy())
