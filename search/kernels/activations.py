"""BatchNorm, ReLU and rounding as one function of its input, recomputed in the backward pass.

Saved for it is the convolution's output alone. Elsewhere than on a CPU the same is done by torch's own operators.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from search.kernels import compiled_norms, compiled_rounding
from search.kernels.grids import Grids, on_grids
from search.kernels.parts import in_parts

Floats = tuple[np.float32, ...]
NO_GRID: Floats = (np.float32(0),)


def rows(x_NCHW: Tensor) -> np.ndarray:
    """The memory of a channels-last tensor as (N * H * W, C)."""
    n, c, h, w = x_NCHW.shape
    if x_NCHW.stride() == (h * w * c, 1, w * c, c):  # in one step where nothing has to be moved: this is called often
        found: np.ndarray = x_NCHW.detach().as_strided((n * h * w, c), (c, 1)).numpy()
        return found
    return x_NCHW.detach().permute(0, 2, 3, 1).reshape(-1, c).contiguous().numpy()


def channels_last(x_NCHW: Tensor) -> Tensor:
    """An empty tensor of this shape, channels last."""
    n, c, h, w = x_NCHW.shape
    return torch.empty((n, h, w, c)).permute(0, 3, 1, 2)


class _Static:
    """What the kernels need of grids as constants."""

    def __init__(self, grids: Grids | None) -> None:
        shares = [1.0] if grids is None else grids.shares.tolist()
        sizes, bottoms, tops = (grids.sizes, grids.bottoms, grids.tops) if grids else ((), (), ())
        self.float_share = np.float32(shares[0])
        self.share = _floats(shares[1:])
        self.inverse = _floats(1.0 / size for size in sizes)
        self.step = _floats(share * size for share, size in zip(shares[1:], sizes, strict=True))
        self.bottom, self.top = _floats(bottoms), _floats(tops)
        beyond = 0.0 if grids and grids.step is not None else 0.5  # how far gradients pass (Esser 2020, eq. 5: not)
        self.least = _floats((bottom - beyond) * size for size, bottom in zip(sizes, bottoms, strict=True))
        self.limit = _floats((top + beyond) * size for size, top in zip(sizes, tops, strict=True))
        self.sizes = [1.0, *sizes]
        self.within = np.float32(0 if grids and grids.clips_only else 1)  # of a step's gradient, see norm_act_step_dot

    def gradient(self, dots: list[np.ndarray]) -> Tensor:
        """Of the shares, from each part's dot products of the gradient with what is on the grids, in steps."""
        total = _summed(dots)[: len(self.sizes)]  # without grids the kernels count one of share 0
        return torch.tensor(total * self.sizes, dtype=torch.float32)

    def step_gradient(self, dots: list[float], elements: int) -> Tensor:
        """Of the step of the only grid: LSQ's is divided by sqrt(elements * top) (Esser 2020, sec. 2.2). There elements
        are the features of one picture, here those of the batch: to Adam the difference is one of its eps, and a
        smaller eps gave less (search.quantizers.learning).
        """
        scale = (elements * float(self.top[0])) ** -0.5 if self.within else 1.0
        return torch.tensor(sum(dots) * scale, dtype=torch.float32)


def _floats(values: Any) -> Floats:
    return tuple(map(np.float32, values)) or NO_GRID


_FLOAT = _Static(None)


def _summed(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.sum(parts, axis=0)


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, shares: Tensor | None, step: Tensor | None, mean: Tensor,
        inverse_std: Tensor, grids: Grids | None, batch_statistics: bool,
    ) -> tuple[Tensor, float]:  # fmt: skip
        static, out = _Static(grids) if grids else _FLOAT, channels_last(y)
        # In numpy: operators of torch on vectors this short take longer than what they compute.
        weight_C, bias_C = weight.detach().numpy(), bias.detach().numpy()
        mean_C, inverse_std_C = mean.numpy(), inverse_std.numpy()
        scale = weight_C * inverse_std_C
        shift = bias_C - mean_C * weight_C * inverse_std_C
        y_RC, out_RC = rows(y), rows(out)
        assert out_RC.base is not None

        def work(_: int, part: slice) -> float:
            if static is _FLOAT:
                return compiled_norms.norm_relu_forward(y_RC[part], scale, shift, out_RC[part])  # type: ignore[no-any-return]
            return compiled_norms.norm_act_forward(  # type: ignore[no-any-return]
                y_RC[part], scale, shift, static.float_share, static.inverse, static.step, static.top, out_RC[part]
            )

        squares = sum(in_parts(len(y_RC), y_RC.size, work))
        ctx.save_for_backward(y, weight, mean, inverse_std)
        ctx.static, ctx.scale, ctx.shift, ctx.batch_statistics = static, scale, shift, batch_statistics
        return out, squares / y_RC.size

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        y, weight, mean, inverse_std = ctx.saved_tensors
        static, scale, shift = ctx.static, ctx.scale, ctx.shift
        y_RC, g_RC = rows(y), rows(g)
        count, channels = y_RC.shape

        with_shares = ctx.needs_input_grad[3]
        arguments = scale, shift, static.float_share, static.share, static.limit

        def sums(_: int, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            found = np.zeros(channels), np.zeros(channels), np.zeros(1 + len(static.inverse))
            if with_shares:
                compiled_norms.norm_act_sums_and_dots(
                    y_RC[part], g_RC[part], *arguments, static.inverse, static.top, *found
                )  # fmt: skip
            else:
                compiled_norms.norm_act_sums(y_RC[part], g_RC[part], *arguments, *found[:2])
            return found

        parts = in_parts(count, y_RC.size, sums)
        factors_FC, gradients_GC = np.empty((3, channels), np.float32), np.empty((2, channels), np.float32)
        compiled_norms.norm_factors(
            _summed([p[0] for p in parts]), _summed([p[1] for p in parts]), mean.numpy(), inverse_std.numpy(),
            weight.detach().numpy(), count, ctx.batch_statistics, factors_FC, gradients_GC,
        )  # fmt: skip
        out = channels_last(y)
        out_RC = rows(out)

        def inputs(_: int, part: slice) -> None:
            compiled_norms.norm_act_backward(y_RC[part], g_RC[part], *arguments, *factors_FC, out_RC[part])

        in_parts(count, y_RC.size, inputs)
        shares = static.gradient([p[2] for p in parts]) if with_shares else None

        def dots(_: int, part: slice) -> float:
            return compiled_norms.norm_act_step_dot(  # type: ignore[no-any-return]
                y_RC[part], g_RC[part], scale, shift, static.inverse[0], static.top[0], static.within
            )

        step = static.step_gradient(in_parts(count, y_RC.size, dots), y.numel()) if ctx.needs_input_grad[4] else None
        return out, *torch.from_numpy(gradients_GC), shares, step, None, None, None, None


class _RoundSigned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shares: Tensor, step: Tensor | None, grids: Grids) -> tuple[Tensor, float]:
        static, out = _Static(grids), channels_last(x)
        x_RC, out_RC = rows(x), rows(out)

        def work(_: int, part: slice) -> float:
            return compiled_rounding.round_signed(  # type: ignore[no-any-return]
                x_RC[part], static.float_share, static.inverse, static.step, static.bottom, static.top, out_RC[part]
            )

        squares = sum(in_parts(len(x_RC), x_RC.size, work))
        ctx.save_for_backward(x)
        ctx.static = static
        return out, squares / x_RC.size

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        static, out = ctx.static, channels_last(x)
        x_RC, g_RC, out_RC = rows(x), rows(g), rows(out)

        def work(_: int, part: slice) -> np.ndarray:
            found = np.zeros(1 + len(static.inverse))
            compiled_rounding.round_signed_backward(
                x_RC[part], g_RC[part], static.float_share, static.share, static.least, static.limit, static.inverse,
                static.bottom, static.top, out_RC[part], found,
            )  # fmt: skip
            return found

        dots = in_parts(len(x_RC), x_RC.size, work)
        shares = static.gradient(dots) if ctx.needs_input_grad[1] else None

        def step_dots(_: int, part: slice) -> float:
            return compiled_rounding.round_signed_step_dot(  # type: ignore[no-any-return]
                x_RC[part], g_RC[part], static.inverse[0], static.bottom[0], static.top[0]
            )

        if not ctx.needs_input_grad[2]:
            return out, shares, None, None
        return out, shares, static.step_gradient(in_parts(len(x_RC), x_RC.size, step_dots), x.numel()), None


def norm_act(
    y_NCHW: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, eps: float,
    grids: Grids | None, batch_statistics: bool,
) -> tuple[Tensor, float]:  # fmt: skip
    """relu(BatchNorm(y)) mixed on `grids`, and the mean square before rounding. `mean` and `variance` are those of this
    batch where `batch_statistics`; gradients then go through them.
    """
    inverse_std = torch.rsqrt(variance + eps)
    if y_NCHW.device.type == "cpu":
        shares, step = (grids.shares, grids.step) if grids else (None, None)
        out: tuple[Tensor, float] = _NormAct.apply(  # type: ignore[no-untyped-call]
            y_NCHW, weight, bias, shares, step, mean, inverse_std, grids, batch_statistics
        )
        return out
    normed = torch.relu(F.batch_norm(y_NCHW, None if batch_statistics else mean, None if batch_statistics else variance,
                                     weight, bias, batch_statistics, eps=eps))  # fmt: skip
    return (on_grids(normed, grids) if grids else normed), normed.detach().square().mean().item()


def rounded(x: Tensor, grids: Grids) -> tuple[Tensor, float]:
    """A tensor without a ReLU in front mixed on `grids`, and its mean square."""
    if x.device.type == "cpu" and x.ndim == 4 and grids.signed:
        out: tuple[Tensor, float] = _RoundSigned.apply(x, grids.shares, grids.step, grids)  # type: ignore[no-untyped-call]
        return out
    return on_grids(x, grids), x.detach().square().mean().item()
