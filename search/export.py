"""From a trained network to the files that ship: ONNX, weights, architecture.

The ONNX graph is joined by `latency.graph`, the code whose blocks the profiler times. Before a file counts,
onnxruntime has to agree with torch on real pictures. Blocks with 8 bits of activations are stored in integers; fewer
are simulated in float, exact, but no faster than float.

Errors:
    ExportMismatch (RuntimeError)   onnxruntime computes something else than torch
"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from latency.graph import chain
from latency.onnx_session import session
from latency.weights import grid_places
from search.executor import Executor
from search.network import Network

TOLERANCE = 1e-3  # of the greatest logit; float32 sums in another order differ by 1e-6 to 1e-4
MEAN_TOLERANCE = 5e-5  # of a block's greatest value; right ones have 1e-8 to 1e-5, 0.1 % off in one weight is 1e-4


class ExportMismatch(RuntimeError):
    """The exported file computes something else than the network."""


def onnx_model(network: Network) -> onnx.ModelProto:
    """`input` float32 (batch, channels, height, width) in [0, 1] to `output` logits (batch, classes); BatchNorm
    folded in.
    """
    operators = network.architecture.operators()
    folded = network.eval().folded()
    model: onnx.ModelProto = chain(operators, folded.values(), folded.keys(), batch="batch")
    for key, value in (("architecture", network.architecture.model_dump_json()), ("input", "float32 pixels in [0, 1]")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return model


@torch.no_grad()
def settle_biases(network: Network) -> None:
    """Rounds the biases of integer blocks to whole steps of the products they are added to, as a file stores them
    (Jacob 2017, eq. 11). From then on torch and the file compute the same.
    """
    if not any(operator.is_integer for operator in network.architecture.operators()):
        return
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx_model(network).graph.initializer}
    for name, block in network.blocks():
        if not block.operator.is_integer:
            continue
        folded = block.folded()
        for layer, module in block.biased().items():
            bias = f"{name}/{layer}.bias"
            exact = stored[bias].astype(np.float64) * stored[f"{bias}.scale"]
            module.bias.add_(torch.from_numpy(exact - folded[f"{layer}.bias"]).float())


def write_onnx(network: Network, path: Path, probe_NCHW: Tensor) -> float:
    """Writes the checked ONNX file and gives the greatest difference of logits to torch on `probe_NCHW`.

    Raises ExportMismatch as `compare` does.
    """
    model = onnx_model(network)
    content = model.SerializeToString()
    difference = compare(network, content, probe_NCHW)
    path.write_bytes(content)
    return difference


def compare(network: Network, content: bytes, probe_NCHW: Tensor) -> float:
    """Greatest difference between the logits of torch and of onnxruntime, relative to the greatest logit.

    Raises ExportMismatch where it is beyond `TOLERANCE`. A network that rounds activations is judged block by block
    instead, by the mean difference: a value at the edge of two steps goes to either with the order of a float32 sum,
    and the next layers pass that on. Over 22 untrained layers of w8a8 a right file named the same class as torch in
    81 % of the pictures only, and logits differed by up to 22 %. Given the same input, though, a block of either
    differs in few values, and a wrong one in most. Torch is given the biases that the file has (`settle_biases`).
    """
    theirs = _run(content, probe_NCHW)["output"]
    network = deepcopy(network.eval())
    settle_biases(network)
    with torch.inference_mode():
        ours = network(probe_NCHW).numpy()
    difference = relative_difference(ours, theirs)
    if any(map(grid_places, network.architecture.operators())):
        _compare_blocks(network, content, probe_NCHW)
    else:
        judge_logits(difference, runtime="onnxruntime")
    return difference


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The greatest difference of logits, relative to the greatest logit."""
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))


def judge_logits(difference: float, *, runtime: str) -> None:
    """Raises ExportMismatch where logits of a network that rounds nothing differ too much."""
    if not difference <= TOLERANCE:
        raise ExportMismatch(
            f"{runtime}'s logits differ from torch's by {difference:.2e} of the greatest, {TOLERANCE:g} is allowed"
        )


def _compare_blocks(network: Network, content: bytes, probe_NCHW: Tensor) -> None:
    """Gives each block of torch what onnxruntime gave that block of the file, and where all blocks are integer, does
    the same in integers alone. Raises ExportMismatch.
    """
    model = onnx.load_from_string(content)
    last = {node.name.partition("/")[0]: node.output[0] for node in model.graph.node}
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in last.values() if tensor != "output")
    values = _run(model.SerializeToString(), probe_NCHW)
    if all(operator.is_integer or operator.is_identity for operator in network.architecture.operators()):
        told = {tensor: values[tensor] for tensor in last.values()}
        executed = Executor(onnx.load_from_string(content)).beside(probe_NCHW.numpy(), told)
        for name, tensor in last.items():
            judge(name, executed[tensor], told[tensor], runtime="onnxruntime", beside="those of integers alone")
    given = probe_NCHW
    for name, block in network.blocks():
        if name not in last:  # an identity
            continue
        with torch.inference_mode():
            ours = block(given).numpy()
        judge(name, ours, values[last[name]], runtime="onnxruntime")
        given = torch.from_numpy(values[last[name]])


def judge(name: str, ours: np.ndarray, theirs: np.ndarray, *, runtime: str, beside: str = "torch's") -> None:
    """Raises ExportMismatch where what `runtime` gave the block `name` differs too much from `ours`."""
    mean = float(np.abs(ours - theirs).mean() / max(np.abs(ours).max(), np.finfo(np.float32).tiny))
    if not mean <= MEAN_TOLERANCE:
        raise ExportMismatch(
            f"{name}: {runtime}'s values differ from {beside} by {mean:.2e} of the greatest on average, "
            f"{MEAN_TOLERANCE:g} is allowed"
        )


def _run(content: bytes, x_NCHW: Tensor) -> dict[str, np.ndarray]:
    """The outputs of an ONNX file by name."""
    opened = session(content)
    names = [output.name for output in opened.get_outputs()]
    found = opened.run(names, {"input": x_NCHW.contiguous().numpy()})
    return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}
