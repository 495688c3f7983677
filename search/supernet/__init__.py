"""The supernet: every architecture of a space at once, with architecture parameters theta_LK that choose among them.

`shared` holds one weight a layer of which candidates are views; `reference` is FBNet's own form with a weight a
candidate.
"""

from search.supernet.network import Supernet
from search.supernet.sampler import gumbel_softmax

__all__ = ["Supernet", "gumbel_softmax"]
