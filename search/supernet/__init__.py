"""The supernet: every architecture of a space at once, with architecture parameters theta that choose among them.

`shared` holds one weight a layer of which choices are views; `reference` is FBNet's own form with a weight a choice.
"""

from search.supernet.network import Supernet
from search.supernet.sampler import SAMPLERS
from search.supernet.theta import Sample, Theta, one_hot

__all__ = ["SAMPLERS", "Sample", "Supernet", "Theta", "one_hot"]
