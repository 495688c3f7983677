"""Runs an exported network in integers alone (Jacob 2017), as a device without floats would: the judge of exports.

    executed = Executor(onnx.load(path), rounding="onnx")
    logits = executed(pixels_NCHW)    # float32 pixels in [0, 1] to float32

It reads the file, not the code that wrote it, and needs numpy only. Sums of two tensors are taken as the file says it:
onnxruntime's fused sum breaks some ties in another way, so that of millions of values a few are a step apart.

Errors:
    NotExecutable (ValueError)   the file holds what the executor has no rule for; names the node
"""

from search.executor.network import Executor, NotExecutable
from search.executor.rounding import ROUNDINGS, Rounding

__all__ = ["ROUNDINGS", "Executor", "NotExecutable", "Rounding"]
