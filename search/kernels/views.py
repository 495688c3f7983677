"""Mixtures of views of one weight: ranges of its columns, each on several grids, some with zeros."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from search.kernels import compiled_weights
from search.kernels.grids import WEIGHT_CLIP, rounded_rows, row_sizes, weight_top
from search.kernels.learnt import lsq
from search.kernels.parts import in_parts


@dataclass(frozen=True)
class Views:
    """Column ranges [start, end) of a weight (O, M), the bits of its grids, and who survives which level of zeros:
    `levels` uint8 (J, O, M) counts the levels, sparsest last, at which a weight is kept; None keeps all.
    """

    ranges: tuple[tuple[int, int], ...]
    bits: tuple[int, ...] = ()
    levels: Tensor | None = None


class _Rows(NamedTuple):
    """What kernels need of some output channels of views: sizes (J, B, O) and levels (J, O, M), contiguous."""

    size: np.ndarray
    levels: np.ndarray


def _rows(part: slice, size: np.ndarray, levels: np.ndarray) -> _Rows:
    return _Rows(np.ascontiguousarray(size[:, :, part]), np.ascontiguousarray(levels[:, part]))


class _MixViews(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, shares: Tensor, kept: Tensor, views: Views) -> Tensor:
        w_OM = w.contiguous().numpy()
        starts, ends = (np.array(side, np.int64) for side in zip(*views.ranges, strict=True))
        top_B = np.array([weight_top(b) for b in views.bits], np.float32)
        size = np.zeros((len(starts), len(views.bits), len(w_OM)), np.float32)
        if views.bits:
            clips = np.array([WEIGHT_CLIP[b] for b in views.bits])
            compiled_weights.view_sizes(w_OM, starts, ends, top_B, clips, size)
        levels = np.zeros((0, 0, 0), np.uint8) if views.levels is None else np.ascontiguousarray(views.levels.numpy())
        share_JB, kept_JS = shares.contiguous().numpy(), kept.contiguous().numpy()
        out = np.empty_like(w_OM)

        def work(_: int, part: slice) -> None:
            rows = _rows(part, size, levels)
            compiled_weights.mix_views(
                w_OM[part], starts, ends, rows.size, top_B, share_JB, kept_JS, rows.levels, out[part]
            )

        in_parts(len(w_OM), w_OM.size, work)
        ctx.arguments = w_OM, starts, ends, size, top_B, share_JB, kept_JS, levels
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w_OM, starts, ends, size, top_B, share_JB, kept_JS, levels = ctx.arguments
        g_OM, w_grad = g.contiguous().numpy(), np.zeros_like(w_OM)

        def work(_: int, part: slice) -> tuple[np.ndarray, np.ndarray]:
            found = np.zeros(share_JB.shape), np.zeros(kept_JS.shape)
            rows = _rows(part, size, levels)
            compiled_weights.mix_views_backward(
                w_OM[part], g_OM[part], starts, ends, rows.size, top_B, share_JB, kept_JS, rows.levels,
                w_grad[part], *found,
            )  # fmt: skip
            return found

        parts = in_parts(len(w_OM), w_OM.size, work)
        share_grad, kept_grad = (np.sum([p[i] for p in parts], axis=0).astype(np.float32) for i in (0, 1))
        return torch.from_numpy(w_grad), torch.from_numpy(share_grad), torch.from_numpy(kept_grad), None


class _StepRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, size: Tensor, top: float) -> Tensor:
        w_OM, size_O, top_ = w.contiguous().numpy(), size.contiguous().numpy(), np.float32(top)
        out = np.empty_like(w_OM)
        compiled_weights.step_rows(w_OM, size_O, top_, out)
        ctx.arguments = w_OM, size_O, top_
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w_OM, size_O, top = ctx.arguments
        w_grad, size_grad = np.empty_like(w_OM), np.empty_like(size_O)
        compiled_weights.step_rows_backward(w_OM, g.contiguous().numpy(), size_O, top, w_grad, size_grad)
        return torch.from_numpy(w_grad), torch.from_numpy(size_grad) * (w_OM.shape[1] * float(top)) ** -0.5, None


def step_rows(w_OM: Tensor, size_O: Tensor, bits: int) -> Tensor:
    """Weights (O, M) on a grid of `bits` with a learnt step (O,) for each row: `search.kernels.learnt.lsq`."""
    if w_OM.device.type == "cpu":
        out: Tensor = _StepRows.apply(w_OM, size_O, weight_top(bits))  # type: ignore[no-untyped-call]
        return out
    return lsq(w_OM, size_O, -weight_top(bits), weight_top(bits))


def sizes_of_rows(w_OM: Tensor, bits: int) -> Tensor:
    """Size (O,) of a step of each row by its own statistics, as `mix_views` takes it."""
    if w_OM.device.type != "cpu":
        return row_sizes(w_OM, bits)[:, 0]
    size, ends = np.empty((1, 1, len(w_OM)), np.float32), np.array([w_OM.shape[1]], np.int64)
    top, clip = np.array([weight_top(bits)], np.float32), np.array([WEIGHT_CLIP[bits]])
    compiled_weights.view_sizes(w_OM.detach().contiguous().numpy(), np.zeros(1, np.int64), ends, top, clip, size)
    return torch.from_numpy(size[0, 0])


def mix_views(w_OM: Tensor, shares_JB: Tensor, kept_JS: Tensor, views: Views) -> Tensor:
    """sum over views j and grids b of shares[j, b] * Q_b(w within view j), grid 0 being float; times kept[j, level].

    Shapes: weights (O, M), shares (J, 1 + B), kept (J, 1 + S) by the count in `views.levels`. Q is `rounded_rows` of a
    view: zeros by `levels` come after the rounding.
    """
    if w_OM.device.type == "cpu":
        out: Tensor = _MixViews.apply(w_OM, shares_JB, kept_JS, views)  # type: ignore[no-untyped-call]
        return out
    return plain_mix_views(w_OM, shares_JB, kept_JS, views)


def plain_mix_views(w_OM: Tensor, shares_JB: Tensor, kept_JS: Tensor, views: Views) -> Tensor:
    """The same in plain torch, on any processor."""
    total = torch.zeros_like(w_OM)
    for j, (start, end) in enumerate(views.ranges):
        part = w_OM[:, start:end]
        mixed = shares_JB[j, 0] * part
        for b, bits in enumerate(views.bits):
            mixed = mixed + shares_JB[j, 1 + b] * rounded_rows(part, bits)
        if views.levels is not None:
            mixed = mixed * kept_JS[j][views.levels[j, :, start:end].long()]
        total = total + torch.nn.functional.pad(mixed, (start, w_OM.shape[1] - end))
    return total
