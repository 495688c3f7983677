"""Runs an exported network in integers alone (Jacob 2017), as a device without floats would: the judge of exports.

    executed = Executor(onnx.load(path), rounding="onnx")
    logits = executed(pixels_NCHW)    # float32 pixels in [0, 1] to float32

It reads the file, not the code that wrote it, and needs numpy only. In the rounding `onnx` a sum of two tensors is
taken as onnxruntime's fused kernel takes it, which breaks some ties in another way than the file does.

Errors:
    NotExecutable (ValueError)   the file holds what the executor has no rule for; names the node
"""

from search.executor.network import Executor, NotExecutable
from search.executor.rounding import ROUNDINGS, Rounding

__all__ = ["ROUNDINGS", "Executor", "NotExecutable", "Rounding"]
