"""The arithmetic of a supernet's step, fused: a compiled form for CPUs, a plain one for the rest."""

from search.kernels.activations import norm_act, rounded
from search.kernels.depthwise import depthwise
from search.kernels.grids import Grids, on_grids, rounded_rows, row_sizes
from search.kernels.views import Views, mix_views, plain_mix_views, sizes_of_rows, step_rows

__all__ = [
    "Grids",
    "Views",
    "depthwise",
    "mix_views",
    "norm_act",
    "on_grids",
    "plain_mix_views",
    "rounded",
    "rounded_rows",
    "row_sizes",
    "sizes_of_rows",
    "step_rows",
]
