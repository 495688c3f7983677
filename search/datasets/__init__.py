"""Pictures to learn from: the built-in sets and canonical `.npz` files. Only `data` and its readers load numpy
arrays; none loads torch.
"""

from search.datasets.catalog import BUILT_IN, DatasetFacts
from search.datasets.data import DatasetError, ImageData, load
from search.datasets.fetch import DatasetOutOfReach

__all__ = ["BUILT_IN", "DatasetError", "DatasetFacts", "DatasetOutOfReach", "ImageData", "load"]
