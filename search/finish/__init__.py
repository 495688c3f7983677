"""How the derived network is trained: its zeros, an average of its weights, a float twin that teaches it."""

from search.finish.evaluation import Quality, evaluated, quality_of
from search.finish.start import network_to_train
from search.finish.trainer import Trainer

__all__ = ["Quality", "Trainer", "evaluated", "network_to_train", "quality_of"]
