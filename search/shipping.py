"""The files of a network that runtimes load, each checked against torch before it counts.

`model.onnx`        as it was searched: rounded where the network rounds, in integers where a block has 8 bits
`model-float.onnx`  the same network with nothing rounded, for tools that round by themselves; only where that differs
`model.tflite`      as searched, for LiteRT; where TFLite has operators for it and `ai-edge-litert` is installed
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from latency.tflite import UnsupportedOperator
from search.blocks import build
from search.export import ExportMismatch, write_onnx
from search.files import MODEL, MODEL_FLOAT, MODEL_TFLITE
from search.litert import write_tflite
from search.network import MakeHead, Network
from search.unrounded import rounds, unrounded


@dataclass(frozen=True, slots=True)
class Models:
    """What was written. `difference` is that of model.onnx (`search.export.compare`), `plain` the network of
    model-float.onnx where there is one; `notes` say in a sentence each what was not written, and why.
    """

    difference: float
    plain: Network | None
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def write_models(
    network: Network, folder: Path, *, probe_NCHW: Tensor, calibration: Iterator[Tensor], head: MakeHead = build
) -> Models:
    """Writes the models into `folder`; `calibration` and `head` as for `search.unrounded`. Raises ExportMismatch where
    an ONNX file computes something else than torch: those every result has. A TFLite file that does is left out with a
    note, as the search is not worth less for it.
    """
    files, plain = [folder / MODEL], None
    difference = write_onnx(network, folder / MODEL, probe_NCHW)
    if rounds(network.architecture):
        plain = unrounded(network, calibration, head)
        write_onnx(plain, folder / MODEL_FLOAT, probe_NCHW)
        files.append(folder / MODEL_FLOAT)
    reason = _write_tflite(network, folder / MODEL_TFLITE, probe_NCHW)
    if reason is None:
        return Models(difference, plain, (*files, folder / MODEL_TFLITE), ())
    return Models(difference, plain, tuple(files), (f"{MODEL_TFLITE} was not written: {reason}.",))


def _write_tflite(network: Network, path: Path, probe_NCHW: Tensor) -> str | None:
    """Why there is none; None where there is one."""
    if find_spec("ai_edge_litert") is None:
        return "ai-edge-litert is not installed where the search ran, pip install 'lutnas[litert]' brings it"
    try:
        write_tflite(network, path, probe_NCHW)
    except (UnsupportedOperator, ExportMismatch) as error:
        return str(error)
    return None
