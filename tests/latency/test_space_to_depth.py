"""A stem over blocks of pixels gives the sums of the stem over pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from latency.space_to_depth import over_blocks, pays


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_over_blocks_equals_that_of_stride_2(kernel: int, channels: int) -> None:
    rng = np.random.default_rng(kernel)
    x_NCHW = torch.from_numpy(rng.integers(-128, 128, (2, channels, 12, 10))).double()
    weight_OIHW = rng.integers(-127, 128, (4, channels, kernel, kernel)).astype(np.int8)
    expected = F.conv2d(x_NCHW, torch.from_numpy(weight_OIHW).double(), stride=2, padding=kernel // 2)
    over, (top, left, bottom, right) = over_blocks(weight_OIHW)
    split = x_NCHW.view(2, channels, 6, 2, 5, 2).permute(0, 3, 5, 1, 2, 4).reshape(2, 4 * channels, 6, 5)
    found = F.conv2d(F.pad(split, (left, right, top, bottom)), torch.from_numpy(over).double())
    assert over.dtype == np.int8
    assert torch.equal(found, expected)


def test_it_is_taken_where_pixels_pair_up_and_channels_leave_a_kernel_room() -> None:
    assert pays(1, 28, 28, stride=2)
    assert pays(3, 224, 224, stride=2)
    assert not pays(4, 28, 28, stride=2)
    assert not pays(1, 28, 28, stride=1)
    assert not pays(1, 27, 28, stride=2)
