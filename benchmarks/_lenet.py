"""LeNet-300-100 (LeCun 1998) on Fashion-MNIST, what published figures of pruning are about, and its trainings."""

import time
from functools import cache

from torch import nn

from api.settings import Settings
from benchmarks._reporting import say
from search.compression.training import Training
from search.datasets import ImageData, load
from search.randomness import seeded

HIDDEN = (300, 100)


def lenet(seed: int) -> nn.Module:
    """784-300-100-10 with ReLU."""
    with seeded(seed, "lenet"):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, HIDDEN[0]),
            nn.ReLU(),
            nn.Linear(HIDDEN[0], HIDDEN[1]),
            nn.ReLU(),
            nn.Linear(HIDDEN[1], 10),
        )


@cache
def fashion() -> ImageData:
    """All pictures of Fashion-MNIST."""
    settings = Settings()
    return load("fashion-mnist", folder=settings.data_dir, say=say, source=settings.fashion_mnist)


class Pace:
    """Tells on stderr how long the remaining of `epochs` trainings' epochs take, at the pace so far."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.done, self.begin = epochs, 0, time.perf_counter()

    def run(self, training: Training, name: str, *, until: int | None = None) -> None:
        """Does the steps up to `until`, or all that remain."""
        until = training.steps if until is None else until
        for report in training if training.step < until else ():
            if report.step % len(training.batches) == 0:
                self.epoch_is_done(f"{name}, epoch {report.data['epoch']}, loss {report.data['loss']:.3f}")
            if report.step == until:
                return

    def epoch_is_done(self, text: str) -> None:
        """Counts one more."""
        self.done += 1
        per_epoch = (time.perf_counter() - self.begin) / self.done
        left = max(0.0, per_epoch * (self.epochs - self.done) / 60)
        say(f"{text}; {self.done} of {self.epochs} epochs, about {left:.1f} min left")
