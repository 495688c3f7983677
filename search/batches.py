"""From data in memory to batches of pixels. The same seed gives the same batches in the same order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from search.datasets.data import ImageData
from search.randomness import generator, permutation

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
    """Arrays of a data set as tensors of their own: arrays read from a file may be read-only."""
    return torch.tensor(x_NCHW), torch.tensor(y_N)


def split_for_search(
    data: ImageData, *, examples: int | None, theta_share: float, batch_size: int, seed: int
) -> tuple[Batches, Batches]:
    """Batches to train weights on and, from other pictures, batches to train theta on (FBNet: 80 % and 20 %).

    Raises ValueError where the training data gives either less than one picture.
    """
    count = min(examples or len(data.y_train), len(data.y_train))
    for_theta = round(count * theta_share)
    if not 0 < for_theta < count:
        raise ValueError(f"search.theta_share: {theta_share} of {count} examples leaves one side without any")
    x, y = tensors(data.x_train, data.y_train)
    order = permutation(len(y), seed, "split")[:count]
    theta, weights = order[:for_theta], order[for_theta:]
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


def shifted(x_NCHW: Tensor, most: int, seed: int, index: int) -> Tensor:
    """Each picture moved by up to `most` pixels either way, black beyond the edge: harmless for any kind of picture."""
    n, _, h, w = x_NCHW.shape
    offsets = torch.randint(0, 2 * most + 1, (2, n), generator=generator(seed, "shift", index))
    padded = torch.nn.functional.pad(x_NCHW, [most] * 4)
    rows = offsets[0].view(n, 1) + torch.arange(h)
    columns = offsets[1].view(n, 1) + torch.arange(w)
    picked = padded[torch.arange(n).view(n, 1, 1), :, rows.view(n, h, 1), columns.view(n, 1, w)]  # (N, H, W, C)
    return picked.permute(0, 3, 1, 2)
