"""From data in memory to batches of pixels. The same seed gives the same batches in the same order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from search.datasets.data import ImageData
from search.randomness import generator, permutation
from search.space import Input
from search.spec import FEWEST

JUDGED_AT_ONCE = 500  # pictures of a pass without gradients


@dataclass(frozen=True)
class Batches:
    """Pictures uint8 (N, C, H, W) and labels (N,), cut into batches; a rest smaller than a batch is left out unless
    it is all.
    """

    x_NCHW: Tensor
    y_N: Tensor
    size: int
    seed: int
    purpose: str

    def __len__(self) -> int:
        return max(1, len(self.y_N) // self.size)

    def order(self, epoch: int) -> Tensor:
        """The shuffled indices of an epoch."""
        return permutation(len(self.y_N), self.seed, self.purpose, epoch)

    def batch(self, order: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Pixels float32 in [0, 1] and labels of one batch of `order`."""
        chosen = order[number * self.size : (number + 1) * self.size]
        return pixels(self.x_NCHW[chosen]), self.y_N[chosen]


def pixels(x_NCHW: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1], channels last in memory."""
    return (x_NCHW.float() / 255.0).contiguous(memory_format=torch.channels_last)


def tensors(x_NCHW: np.ndarray, y_N: np.ndarray) -> tuple[Tensor, Tensor]:
    """Arrays of a data set as tensors of the same memory, which nobody writes to; read-only ones are copied: torch has
    none such.
    """
    x, y = (torch.from_numpy(a) if a.flags.writeable else torch.tensor(a) for a in (x_NCHW, y_N))
    return x, y


def split_for_search(data: ImageData, *, sides: tuple[int, int], batch_size: int, seed: int) -> tuple[Batches, Batches]:
    """Batches to train weights on and, from other pictures, batches to train theta on (FBNet: 80 % and 20 %), of as
    many pictures as `sides` say.

    Raises ValueError where the training data gives either less than two pictures: BatchNorm needs as many.
    """
    if min(sides) < FEWEST:
        told = f"leaves {sides[0]} examples for weights and {sides[1]} for theta: too few"
        raise ValueError(f"search.theta_share: {told}")
    x, y = tensors(data.x_train, data.y_train)
    order = permutation(len(y), seed, "split")[: sum(sides)]
    theta, weights = order[: sides[1]], order[sides[1] :]
    return (
        Batches(x[weights], y[weights], batch_size, seed, "weight batches"),
        Batches(x[theta], y[theta], batch_size, seed, "theta batches"),
    )


def training_part(data: ImageData, batches: Batches) -> ImageData:
    """`data` with only the pictures of `batches` to train on: those that a search trains its weights on."""
    return replace(data, x_train=batches.x_NCHW.numpy(), y_train=batches.y_N.numpy())


def evaluation(x_NCHW: Tensor, size: int = JUDGED_AT_ONCE) -> Iterator[Tensor]:
    """All pictures in order, as pixels."""
    for start in range(0, len(x_NCHW), size):
        yield pixels(x_NCHW[start : start + size])


def calibration(x_NCHW: Tensor, most: int = JUDGED_AT_ONCE) -> Iterator[Tensor]:
    """All pictures in order, as pixels, in batches of one size or one less: a mean over batches counts each alike."""
    for part in x_NCHW.tensor_split(math.ceil(len(x_NCHW) / most)):
        yield pixels(part)


def harmless_shift(shape: Input) -> tuple[int, int]:
    """By how many pixels pictures may move up or down, and across: a 14th of each."""
    return shape.height // 14, shape.width // 14


def shifted(x_NCHW: Tensor, most: tuple[int, int], seed: int, index: int) -> Tensor:
    """Each picture moved by up to `most` pixels either way, down and across, black beyond the edge: harmless for any
    kind of picture.
    """
    n, _, h, w = x_NCHW.shape
    drawn, (down, across) = generator(seed, "shift", index), most
    offset_rows, offset_columns = (torch.randint(0, 2 * one + 1, (n, 1), generator=drawn) for one in most)
    padded = torch.nn.functional.pad(x_NCHW, [across, across, down, down])
    rows, columns = offset_rows + torch.arange(h), offset_columns + torch.arange(w)
    picked = padded[torch.arange(n).view(n, 1, 1), :, rows.view(n, h, 1), columns.view(n, 1, w)]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2)
