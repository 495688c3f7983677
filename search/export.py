"""From a trained network to the files that ship: ONNX, weights, architecture.

The ONNX graph is joined by `latency.graph`, the code whose blocks the profiler times. Before a file counts,
onnxruntime has to agree with torch on real pictures.

Errors:
    ExportMismatch (RuntimeError)   onnxruntime gives other logits than torch
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from latency.graph import chain
from search.network import Network

TOLERANCE = 1e-3  # of the greatest logit; float32 sums in another order differ by 1e-6 to 1e-4


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


def write_onnx(network: Network, path: Path, probe_NCHW: Tensor) -> float:
    """Writes the checked ONNX file and gives the greatest difference of logits to torch on `probe_NCHW`.

    Raises ExportMismatch beyond `TOLERANCE`, or where a class changes that is not a tie.
    """
    model = onnx_model(network)
    content = model.SerializeToString()
    difference = compare(network, content, probe_NCHW)
    path.write_bytes(content)
    return difference


def compare(network: Network, content: bytes, probe_NCHW: Tensor) -> float:
    """Greatest difference between the logits of torch and of onnxruntime, relative to the greatest logit."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        ours = network.eval()(probe_NCHW).numpy()
    theirs = np.asarray(session.run(None, {"input": probe_NCHW.contiguous().numpy()})[0])
    difference = float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))
    if not difference <= TOLERANCE:
        raise ExportMismatch(
            f"onnxruntime's logits differ from torch's by {difference:.2e} of the greatest, {TOLERANCE:g} is allowed"
        )
    return difference
