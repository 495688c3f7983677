"""How onnxruntime opens an ONNX file here, whoever asks: to time it, to judge it, to answer by it."""

from pathlib import Path
from typing import Any

# x86 processors without VNNI add two products of 8 bits in 16, which saturate: of a network of 8-bit weights some
# outputs are then hundreds of steps off. With this onnxruntime stores such weights unsigned there, and other processors
# ignore it (onnxruntime's session option since 1.12; pull request 12088).
EXACT = "session.x64quantprecision", "1"
ERRORS_ONLY = 3  # warnings about graphs of one operator help nobody


def session(model: bytes | Path, *, threads: int | None = None) -> Any:
    """An InferenceSession on the CPU that computes 8-bit blocks exactly, whatever the processor; with all cores where
    `threads` says nothing. Raises what onnxruntime does.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT)
    options.log_severity_level = ERRORS_ONLY
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
