"""torch in eager mode, on the CPU or on a CUDA device: what a network costs that is not exported. Floats only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency.operator import Operator
from latency.profiler.errors import ProfilerError
from latency.profiler.runtimes import Call
from latency.weights import Weights


class TorchRuntime:
    """Eager torch on the CPU, channels last. Raises ProfilerError where torch is missing."""

    name = "torch"
    computes_here = True
    _device = "cpu"

    def __init__(self) -> None:
        try:
            import torch
        except ImportError as error:
            raise ProfilerError("torch is not installed: pip install torch") from error
        self._torch: Any = torch
        self.version = str(torch.__version__)

    def refuse(self, operator: Operator) -> None:
        """See `Runtime`."""
        if min(operator.weight_bits, operator.activation_bits) < 32:
            raise ProfilerError(f"{operator.key}: eager torch computes floats alone: profile fp32 operators")

    def load(self, operators: Sequence[Operator], weights: Sequence[Weights], *, threads: int, seed: int) -> Call:
        """See `Runtime`. The number of threads is that of the whole process."""
        torch, first = self._torch, operators[0]
        if self._device == "cpu":
            torch.set_num_threads(threads)
        layers = [_Block(torch, o, w, self._device) for o, w in zip(operators, weights, strict=True)]
        shape = (1, first.c_in, first.h, first.w)
        pixels = torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32)).to(self._device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)

        def call() -> object:
            with torch.inference_mode():
                x_NCHW = pixels
                for layer in layers:
                    x_NCHW = layer(x_NCHW)
                return self._finished(x_NCHW)

        return call

    def open(self, path: Path, *, threads: int, seed: int) -> Call:
        """Always raises ProfilerError: there is no file that eager torch runs."""
        raise ProfilerError(f"{path}: eager torch runs no exported files: take another runtime")

    def _finished(self, result: Any) -> Any:
        return result


class CudaRuntime(TorchRuntime):
    """Eager torch on the first CUDA device; a call ends when the device has done its work."""

    name = "torch-cuda"
    computes_here = False
    _device = "cuda"

    def __init__(self) -> None:
        super().__init__()
        if not self._torch.cuda.is_available():
            raise ProfilerError("torch sees no CUDA device here")

    def _finished(self, result: Any) -> Any:
        self._torch.cuda.synchronize()
        return result


class _Block:
    """One operator with BatchNorm folded in, as functions of torch."""

    def __init__(self, torch: Any, operator: Operator, weights: Weights, device: str) -> None:
        self.torch, self.operator = torch, operator
        self.weights = {
            name: self._placed(torch.from_numpy(np.ascontiguousarray(value)).to(device))
            for name, value in weights.items()
        }

    def _placed(self, weight: Any) -> Any:
        return weight.contiguous(memory_format=self.torch.channels_last) if weight.ndim == 4 else weight

    def __call__(self, x_NCHW: Any) -> Any:
        o, torch = self.operator, self.torch
        match o.kind:
            case "mbconv":
                out = self._conv(x_NCHW, "expand", groups=o.groups).relu_()
                if o.groups > 1:
                    out = torch.nn.functional.channel_shuffle(out, o.groups)
                out = self._conv(out, "depthwise", stride=o.stride, groups=o.c_mid).relu_()
                out = self._conv(out, "project", groups=o.groups)
                return out.add_(x_NCHW) if o.keeps_shape else out
            case "skip":
                return x_NCHW if o.keeps_shape else self._conv(x_NCHW, "project", stride=o.stride)
            case "stem":
                return self._conv(x_NCHW, "conv", stride=o.stride).relu_()
            case _:
                pooled = self._conv(x_NCHW, "conv").relu_().mean((2, 3))
                return torch.nn.functional.linear(pooled, self.weights["linear.weight"], self.weights["linear.bias"])

    def _conv(self, x_NCHW: Any, layer: str, *, stride: int = 1, groups: int = 1) -> Any:
        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        edge = weight.shape[-1] // 2
        return self.torch.nn.functional.conv2d(x_NCHW, weight, bias, stride, edge, groups=groups)
