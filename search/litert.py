"""The TFLite file of a network, run by LiteRT against torch before it counts. Batch 1, NHWC, floats at both ends.

LiteRT computes integer layers by XNNPACK, which rounds as onnxruntime does: given the same input, of 1.5 million values
of four trained networks none differed from `search.executor` in the rounding `onnx`, and of 5 million over twelve
residual sums 6e-6, by one step. So a file is judged as an ONNX one is. Where XNNPACK is left out, as on
microcontrollers, TFLite's own kernels round twice: 2e-4 to 7e-4 of the values differ from the executor's `tflite`, 2e-3
to 5e-3 from its `onnx`, each by one step; one or two classes of 60 were others, and five after twelve sums.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latency.operator import Operator
from latency.tflite import chain
from latency.tflite_file import packed, parsed
from latency.weights import grid_places
from search.export import ExportMismatch, judge, judge_logits, relative_difference, settle_biases
from search.network import Network

LAST = {"stem": "conv", "mbconv": "project", "skip": "project"}  # the layer that gives a block's output


def write_tflite(network: Network, path: Path, probe_NCHW: Tensor) -> float:
    """Writes the checked TFLite file and gives the greatest difference of logits to torch on `probe_NCHW`, relative to
    the greatest logit.

    Raises latency.tflite.UnsupportedOperator, ExportMismatch as `compare` does, ModuleNotFoundError without LiteRT.
    """
    content = tflite_model(network)
    difference = compare(network, content, probe_NCHW)
    path.write_bytes(content)
    return difference


def tflite_model(network: Network) -> bytes:
    """`input` float32 (1, height, width, channels) in [0, 1] to logits (1, classes); BatchNorm folded in. Raises
    latency.tflite.UnsupportedOperator.
    """
    folded = network.eval().folded()
    return chain(network.architecture.operators(), folded.values(), folded.keys())


def compare(network: Network, content: bytes, probe_NCHW: Tensor) -> float:
    """Greatest difference between the logits of torch and of LiteRT, relative to the greatest logit. Raises
    ExportMismatch by the rules of `search.export.compare`: a network that rounds is judged block by block.
    """
    network = deepcopy(network.eval())
    settle_biases(network)
    (theirs,) = _run(content, probe_NCHW).values()
    with torch.inference_mode():
        ours = network(probe_NCHW).numpy()
    difference = relative_difference(ours, theirs)
    if any(map(grid_places, network.architecture.operators())):
        _compare_blocks(network, content, probe_NCHW)
    else:
        judge_logits(difference, runtime="LiteRT")
    return difference


def _compare_blocks(network: Network, content: bytes, probe_NCHW: Tensor) -> None:
    """Gives each block of torch what LiteRT gave that block of the file. Raises ExportMismatch."""
    model = parsed(content)
    graph = model.subgraphs[0]
    (logits,) = graph.outputs
    giver = {graph.tensors[node.outputs[0]].name.decode(): node for node in graph.operators}
    blocks = [(name, block) for name, block in network.blocks() if not block.operator.is_identity]
    gives = {n: giver[f"{n}/{LAST[b.operator.kind]}"].outputs[0] for n, b in blocks if b.operator.kind in LAST}
    added = {n: giver[f"{n}/expand"].inputs[0] for n, b in blocks if _adds_its_input(b.operator)}
    graph.outputs = sorted({logits, *gives.values(), *added.values()})
    values, given = _run(packed(model), probe_NCHW), probe_NCHW
    for name, block in blocks:
        theirs = values[gives.get(name, logits)]
        if name in added:
            theirs = theirs + values[added[name]]
        with torch.inference_mode():
            ours = block(given).numpy()
        judge(name, ours, theirs, runtime="LiteRT")
        given = torch.from_numpy(theirs)


def _adds_its_input(operator: Operator) -> bool:
    return operator.kind == "mbconv" and operator.keeps_shape


def _run(content: bytes, x_NCHW: Tensor) -> dict[int, np.ndarray]:
    """The outputs of a file by their numbers in it, as floats: (N, C, H, W) or (N, C)."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ExportMismatch(f"LiteRT cannot load the file: {error}") from error
    (given,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found: dict[int, list[np.ndarray]] = {output["index"]: [] for output in outputs}
    for picture_HWC in x_NCHW.permute(0, 2, 3, 1).contiguous().numpy():
        interpreter.set_tensor(given["index"], picture_HWC[None])
        interpreter.invoke()
        for output in outputs:
            found[output["index"]].append(_in_floats(interpreter.get_tensor(output["index"]), output["quantization"]))
    return {number: np.concatenate(parts) for number, parts in found.items()}


def _in_floats(value: np.ndarray, grid: tuple[float, int]) -> np.ndarray:
    """NCHW float32 of an NHWC tensor; int8 on `grid`, a step and a zero."""
    size, zero = grid
    floats = (value.astype(np.int32) - zero).astype(np.float32) * np.float32(size) if value.dtype == np.int8 else value
    return np.array(np.moveaxis(floats, -1, 1) if floats.ndim == 4 else floats)  # LiteRT's memory is written anew
